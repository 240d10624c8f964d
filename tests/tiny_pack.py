"""Packs of a few thousand random weights, of every family, written as real packs are: manifest and safetensors.

The same code loads and renders them as the shipped packs; only their pictures are noise.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml

SIZE_PX = 64
WORDS = ("table", "marble", "wood", "light", "soft", "morning", "sand", "stone", "blurry", "text")
CLIP_WORDS = ("on", "a", "marble", "table", "soft", "light", "blurry", "wood")

SAM: dict[str, Any] = {
    "image_size": 64,
    "patch_size": 16,
    "encoder_embed_dim": 16,
    "encoder_depth": 2,
    "encoder_heads": 2,
    "window_size": 2,
    "global_attn_indexes": [1],
    "out_chans": 16,
    "mask_in_chans": 4,
    "decoder_depth": 1,
    "decoder_mlp_dim": 16,
    "decoder_heads": 2,
    "iou_hidden_dim": 16,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "mini": {
        "channels": 8,
        "prediction": "v_prediction",
        "scheduler": "DDIMScheduler",
        "inpaints": True,
        "words": True,
    },
    "sd15": {"channels": 4, "prediction": "epsilon", "scheduler": "UniPCMultistepScheduler", "inpaints": True},
    "sd2": {"channels": 4, "prediction": "v_prediction", "scheduler": "DDIMScheduler", "inpaints": True},
    "sdxl": {"channels": 4, "prediction": "epsilon", "scheduler": "EulerDiscreteScheduler", "two_texts": True},
}
UNION_TYPES = {"pose": 0, "canny": 3, "depth": 1, "normal": 4, "segmentation": 5}
POOLED, SIZE_EMBED = 12, 4
"""Of the second text encoder: the channels of its pooled text, and those of each of the six numbers of a size."""

CONTROL_CHANNELS: dict[str, list[str]] = {
    "depth": ["depth", "depth", "depth"],
    "normal": ["normal_left", "normal_up", "normal_front"],
    "segmentation": ["segmentation_red", "segmentation_green", "segmentation_blue"],
    "pose": ["pose_red", "pose_green", "pose_blue"],
}


def build_tiny_pack(
    folder: Path,
    family: str = "mini",
    seed: int = 0,
    *,
    inpaints: bool = True,
    scheduler: str | None = None,
    shards: int = 1,
    controls: tuple[str, ...] = (),
    references: bool = False,
    edit: dict[str, Any] | None = None,
) -> Path:
    """Write a pack named after `folder` and return the folder.

    `inpaints` False: a plain UNet of c channels. `scheduler`: another class. `shards`: files of the UNet. `controls`:
    conditions besides canny that the pack serves; sdxl's union ControlNet has them all. `references`: it follows
    reference pictures. `edit`: top-level manifest fields to overwrite.
    """
    import torch

    about = FAMILIES[family]
    inpaints = inpaints and "inpaints" in about
    channels, width = about["channels"], 8
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        configs = _configs(about, width, inpaints, scheduler)
        roles: dict[str, Any] = {"tokenizer": _tokenizer(folder, about.get("words", False), configs)}
        if about.get("two_texts"):
            roles["tokenizer_2"] = roles["tokenizer"] | {"config": {"model_max_length": 16, "pad_token": "!"}}
            for key in ("vocab_size", "bos_token_id", "eos_token_id"):
                configs["text_encoder_2"][1][key] = configs["text_encoder"][1][key]
        for role, (class_name, config) in configs.items():
            roles[role] = {"class_name": class_name, "licence": "Apache-2.0", "config": config}
            if role != "scheduler":
                count = shards if role == "unet" else 1
                roles[role]["files"] = _save(folder, role, _random_state(class_name, config), count)
        if about.get("two_texts"):
            roles["controlnet"]["control_types"] = UNION_TYPES
            inpainted = [f"masked_{colour}" for colour in ("red", "green", "blue")]
            roles["controlnet_inpaint"] |= {"control_channels": inpainted, "scale": 0.5}
        for kind in () if about.get("two_texts") else controls:  # after the others, whose weights then stay the same
            class_name, config = configs["controlnet"]
            role = f"controlnet_{kind}"
            roles[role] = {"class_name": class_name, "licence": "Apache-2.0", "config": config}
            roles[role]["control_channels"] = CONTROL_CHANNELS[kind]
            roles[role]["files"] = _save(folder, role, _random_state(class_name, config), 1)
        for role, (class_name, config) in _reference_configs(about, configs["unet"][1]).items() if references else ():
            roles[role] = {"class_name": class_name, "licence": "Apache-2.0", "config": config}
            roles[role]["files"] = _save(folder, role, _random_state(class_name, config), 1)
    manifest = {
        "name": folder.name,
        "title": f"Tiny random {family}",
        "family": family,
        "licence": "Apache-2.0",
        "commercial": True,
        "native_px": [SIZE_PX, SIZE_PX],
        "buckets": [[SIZE_PX, SIZE_PX], [48, 80], [80, 48]],
        "prediction_type": about["prediction"],
        "controls": list(controls),
        "references": references,
        "defaults": {
            "steps": 4,
            "guidance_scale": 3.0,
            "control_scale": 0.8,
            "guidance_rescale": 0.7 if family == "mini" else 0.0,
        },
        "limits": {"max_steps": 50},
        "roles": roles,
    }
    assert channels == configs["vae"][1]["latent_channels"]
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest | (edit or {}), sort_keys=False), "utf-8")
    return folder


def _configs(
    about: dict[str, Any], width: int, inpaints: bool, scheduler: str | None
) -> dict[str, tuple[str, dict[str, Any]]]:
    channels = about["channels"]
    net: dict[str, Any] = {
        "block_out_channels": [8, 16],
        "layers_per_block": 1,
        "cross_attention_dim": width,
        "attention_head_dim": 4,
        "norm_num_groups": 4,
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    }
    if about.get("words"):
        tiny = [8, 8, 8, 8]
        vae = (
            "AutoencoderTiny",
            {
                "latent_channels": channels,
                "encoder_block_out_channels": tiny,
                "decoder_block_out_channels": tiny,
                "num_encoder_blocks": [1, 1, 1, 1],
                "num_decoder_blocks": [1, 1, 1, 1],
                "scaling_factor": 1.0,
            },
        )
    else:
        vae = (
            "AutoencoderKL",
            {
                "latent_channels": channels,
                "block_out_channels": [8, 8, 8, 8],
                "down_block_types": ["DownEncoderBlock2D"] * 4,
                "up_block_types": ["UpDecoderBlock2D"] * 4,
                "norm_num_groups": 4,
                "scaling_factor": 0.18215,
            },
        )
    vocab = 3 + len(WORDS) if about.get("words") else 512 + 2 + len(CLIP_WORDS)
    second: dict[str, Any] = {}
    control: tuple[str, dict[str, Any]] = ("ControlNetModel", {})
    if about.get("two_texts"):
        net |= {
            "cross_attention_dim": 2 * width,
            "transformer_layers_per_block": [1, 2],
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": SIZE_EMBED,
            "projection_class_embeddings_input_dim": POOLED + 6 * SIZE_EMBED,
        }
        control = ("ControlNetUnionModel", {"num_trans_channel": 8, "num_trans_head": 2, "num_proj_channel": 8})
        embeds = {"in_channels": channels, "conditioning_embedding_out_channels": [4, 4, 8, 8]}
        second = {
            "text_encoder_2": (
                "CLIPTextModelWithProjection",
                {
                    "hidden_size": width,
                    "intermediate_size": 16,
                    "num_hidden_layers": 2,
                    "num_attention_heads": 2,
                    "max_position_embeddings": 16,
                    "projection_dim": POOLED,
                    "hidden_act": "gelu",
                },
            ),
            "controlnet_inpaint": ("ControlNetModel", net | embeds),
        }
    return {
        "segmenter": ("Sam", SAM),
        "text_encoder": (
            "CLIPTextModel",
            {
                "vocab_size": vocab,
                "hidden_size": width,
                "intermediate_size": 16,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "max_position_embeddings": 16,
                "bos_token_id": 1 if about.get("words") else vocab - 2,
                "eos_token_id": 0 if about.get("words") else vocab - 1,
            },
        ),
        "vae": vae,
        "unet": (
            "UNet2DConditionModel",
            net
            | {
                "in_channels": 2 * channels + 1 if inpaints else channels,
                "out_channels": channels,
                "sample_size": SIZE_PX // 8,
                "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
            },
        ),
        "controlnet": (
            control[0],
            net | {"in_channels": channels, "conditioning_embedding_out_channels": [4, 4, 8, 8]} | control[1],
        ),
        **second,
        "scheduler": (
            scheduler or about["scheduler"],
            {
                "prediction_type": about["prediction"],
                "beta_start": 0.00085,
                "beta_end": 0.012,
                "beta_schedule": "scaled_linear",
                "timestep_spacing": "trailing" if about["prediction"] == "v_prediction" else "leading",
                "steps_offset": 1,
            }
            | ({"clip_sample": False} if (scheduler or about["scheduler"]) == "DDIMScheduler" else {}),
        ),
    }


def _reference_configs(about: dict[str, Any], unet: dict[str, Any]) -> dict[str, tuple[str, dict[str, Any]]]:
    """The image encoder, and the adapter of the tiny UNet's cross-attentions: four, or eight in the family sdxl."""
    count = 4 * unet.get("transformer_layers_per_block", [1, 1])[-1]
    clip: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
        "projection_dim": 12,
    }
    encoder = ("SceneEncoder", {"size_px": 64, "dim": 12})
    adapter = {"image_dim": 12, "text_dim": unet["cross_attention_dim"], "attentions": [[16, count]]}
    return {
        "image_encoder": encoder if about.get("words") else ("CLIPVisionModelWithProjection", clip),
        "ip_adapter": ("IPAdapter", adapter),
    }


def _random_state(class_name: str, config: dict[str, Any]) -> dict[str, Any]:
    """Random weights of the class. A new ControlNet has zero outputs; non-zero ones make the test meaningful."""
    import torch

    module: Any
    if class_name.startswith("CLIPText"):
        import transformers

        module = getattr(transformers, class_name)(transformers.CLIPTextConfig(**config))
    elif class_name == "CLIPVisionModelWithProjection":
        from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

        module = CLIPVisionModelWithProjection(CLIPVisionConfig(**config))
    elif class_name == "IPAdapter":
        from packshot.models.references.adapter import IPAdapter

        module = IPAdapter(**config)
    elif class_name == "SceneEncoder":
        from packshot.models.references.scene_encoder import SceneEncoder

        module = SceneEncoder(**config)
    elif class_name == "Sam":
        from packshot.models.segment.network import build_sam

        module = build_sam(config)
    else:
        import diffusers

        module = getattr(diffusers, class_name).from_config(config)
    state = module.state_dict()
    for name, tensor in state.items():
        if tensor.is_floating_point() and not tensor.any():
            state[name] = 0.5 * torch.randn_like(tensor)
        elif "cond_embedding" in name:  # five random layers would fade the control image to nothing
            state[name] = 4 * tensor
        elif "to_v_ip" in name:  # a reference must count beside random words
            state[name] = 20 * tensor
    if class_name == "AutoencoderTiny":  # its random pictures are black: lift them to grey, and give them contrast
        last = max((name for name in state if name.startswith("decoder.")), key=lambda name: int(name.split(".")[2]))
        prefix = last.rsplit(".", 1)[0]
        state[f"{prefix}.weight"] *= 4
        state[f"{prefix}.bias"] += 0.5
    return state


def _save(folder: Path, role: str, state: dict[str, Any], shards: int) -> dict[str, Any]:
    from safetensors.torch import save_file

    names, files = sorted(state), {}
    for shard in range(shards):
        file = f"{role}.safetensors" if shards == 1 else f"{role}-{shard + 1}.safetensors"
        save_file({name: state[name].contiguous().clone() for name in names[shard::shards]}, folder / file)
        files[file] = _vouch(folder / file)
    return files


def _vouch(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def _tokenizer(folder: Path, words: bool, configs: dict[str, tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    length = configs["text_encoder"][1]["max_position_embeddings"]
    if words:
        vocab = {word: index for index, word in enumerate(WORDS, start=3)}
        table = {"max_length": length, "vocab": vocab, "synonyms": {"desk": "wood table"}}
        (folder / "words.json").write_text(json.dumps(table), "utf-8")
        files = {"words.json": _vouch(folder / "words.json")}
        return {"class_name": "WordTokenizer", "licence": "Apache-2.0", "files": files}
    # CLIP's own scheme: 256 byte letters, the same at a word's end, then merges; here only those of a few words.
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = list(bytes_to_unicode().values())
    vocab = {token: index for index, token in enumerate([*letters, *(f"{letter}</w>" for letter in letters)])}
    merges = []
    for word in CLIP_WORDS:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            merges.append(f"{parts[0]} {parts[1]}")
            parts = [parts[0] + parts[1], *parts[2:]]
            vocab.setdefault(parts[0], len(vocab))
    configs["text_encoder"][1]["vocab_size"] = len(vocab) + 2
    configs["text_encoder"][1]["bos_token_id"] = vocab["<|startoftext|>"] = len(vocab)
    configs["text_encoder"][1]["eos_token_id"] = vocab["<|endoftext|>"] = len(vocab)
    (folder / "tokenizer").mkdir(exist_ok=True)
    (folder / "tokenizer/vocab.json").write_text(json.dumps(vocab), "utf-8")
    (folder / "tokenizer/merges.txt").write_text("#version: 0.2\n" + "\n".join(dict.fromkeys(merges)) + "\n", "utf-8")
    return {
        "class_name": "CLIPTokenizer",
        "licence": "Apache-2.0",
        "config": {"model_max_length": length},
        "files": {name: _vouch(folder / name) for name in ("tokenizer/vocab.json", "tokenizer/merges.txt")},
    }
