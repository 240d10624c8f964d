"""Packs of the flow-matching recipes with a few thousand random weights, written as real packs are.

The chat model is of Qwen3's class, and has as many layers as the recipes read. The same code loads and renders them as
the shipped packs; only their pictures are noise.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.tiny_pack import SAM, SIZE_PX, _random_state, _save, _vouch

LENGTH = 48
"""Ids of a text."""
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>")
WIDTH = 16
"""Channels of the chat model."""
FLOW: dict[str, Any] = {"num_train_timesteps": 1000, "shift": 3.0}
VAE: dict[str, Any] = {
    "block_out_channels": [8, 8, 8, 8],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "norm_num_groups": 4,
    "layers_per_block": 1,
}
DISTILLED = {"limits": {"max_steps": 50, "max_guidance_scale": 1.0}}
"""What to overwrite for a distilled pack, which takes no guidance."""


def build_tiny_flow_pack(folder: Path, recipe: str, seed: int = 0, *, edit: dict[str, Any] | None = None) -> Path:
    """Write a pack of the recipe flow_edit or flow_control, named after `folder`, and return the folder.

    It takes guidance, as an undistilled model does. `edit`: top-level manifest fields to overwrite.
    """
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    roles: dict[str, Any] = {"tokenizer": _tokenizer(folder, thinking=recipe == "flow_control")}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for role, (class_name, config) in _configs(recipe, roles["tokenizer"].pop("size")).items():
            roles[role] = {"class_name": class_name, "licence": "Apache-2.0", "config": config}
            if role != "scheduler":
                roles[role]["files"] = _save(folder, role, _state(class_name, config), 1)
    if recipe == "flow_control":
        roles["controlnet"]["control_types"] = {"canny": 0, "depth": 1}
    manifest = {
        "name": folder.name,
        "title": f"Tiny random {recipe}",
        "family": "flux2" if recipe == "flow_edit" else "zimage",
        "recipe": recipe,
        "licence": "Apache-2.0",
        "commercial": True,
        "native_px": [SIZE_PX, SIZE_PX],
        "buckets": [[SIZE_PX, SIZE_PX], [48, 80], [80, 48]],
        "prediction_type": "flow_prediction",
        "controls": ["depth"] if recipe == "flow_control" else [],
        "defaults": {"steps": 4, "guidance_scale": 1.0, "control_scale": 0.75},
        "limits": {"max_steps": 50},
        "roles": roles,
    }
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest | (edit or {}), sort_keys=False), "utf-8")
    return folder


def _configs(recipe: str, vocab: int) -> dict[str, tuple[str, dict[str, Any]]]:
    chat = {
        "vocab_size": vocab,
        "hidden_size": WIDTH,
        "intermediate_size": 32,
        "num_hidden_layers": 28 if recipe == "flow_edit" else 3,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "max_position_embeddings": 64,
    }
    configs: dict[str, tuple[str, dict[str, Any]]] = {"segmenter": ("Sam", SAM), "text_encoder": ("Qwen3Model", chat)}
    if recipe == "flow_edit":
        transformer = {
            "in_channels": 16,
            "num_layers": 1,
            "num_single_layers": 2,
            "attention_head_dim": 16,
            "num_attention_heads": 2,
            "joint_attention_dim": 3 * WIDTH,
            "timestep_guidance_channels": 32,
            "axes_dims_rope": [4, 4, 4, 4],
            "guidance_embeds": False,
        }
        return configs | {
            "vae": ("AutoencoderKLFlux2", VAE | {"latent_channels": 4}),
            "transformer": ("Flux2Transformer2DModel", transformer),
            "scheduler": ("FlowMatchEulerDiscreteScheduler", FLOW | {"use_dynamic_shifting": True}),
        }
    shared = {"dim": 32, "n_heads": 2, "n_kv_heads": 2, "n_refiner_layers": 1}
    transformer = {
        "in_channels": 4,
        "n_layers": 2,
        "cap_feat_dim": WIDTH,
        "axes_dims": [8, 4, 4],
        "axes_lens": [128, 64, 64],
    }
    controlnet = {
        "control_layers_places": [0, 1],
        "control_refiner_layers_places": [0],
        "control_in_dim": 9,
        "add_control_noise_refiner": "control_noise_refiner",
    }
    scaled = {"latent_channels": 4, "scaling_factor": 0.36, "shift_factor": 0.11}
    return configs | {
        "vae": ("AutoencoderKL", VAE | scaled),
        "transformer": ("ZImageTransformer2DModel", shared | transformer),
        "controlnet": ("ZImageControlNetModel", shared | controlnet),
        "scheduler": ("FlowMatchEulerDiscreteScheduler", FLOW),
    }


def _state(class_name: str, config: dict[str, Any]) -> dict[str, Any]:
    """Random weights of the class."""
    import torch

    if class_name != "Qwen3Model":
        state = _random_state(class_name, config)
        if class_name == "AutoencoderKLFlux2":
            state["bn.running_mean"] = torch.randn_like(state["bn.running_mean"])
            state["bn.running_var"] = 0.5 + torch.rand_like(state["bn.running_var"])
        elif "Transformer" in class_name:  # of so few channels, fresh layers hardly attend to anything
            state = {name: 3 * tensor if tensor.dim() == 2 else tensor for name, tensor in state.items()}
        return state
    from transformers import Qwen3Config, Qwen3ForCausalLM

    # a language model's file, as the hub has it: with its head, and its names under "model."
    return dict(Qwen3ForCausalLM(Qwen3Config(**config)).state_dict())


def _tokenizer(folder: Path, *, thinking: bool) -> dict[str, Any]:
    """A byte-level tokenizer without merges, with Qwen3's special tokens."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({letter: index for index, letter in enumerate(letters)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    made.save(str(folder / "tokenizer.json"))
    return {
        "class_name": "Qwen2Tokenizer",
        "licence": "Apache-2.0",
        "config": {"max_length": LENGTH, "thinking": thinking},
        "files": {"tokenizer.json": _vouch(folder / "tokenizer.json")},
        "size": made.get_vocab_size(),
    }
