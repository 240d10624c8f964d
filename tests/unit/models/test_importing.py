"""Somebody's own checkpoint becomes a pack that renders; what does not fit is refused with the remedy."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from packshot.errors import PackRefused
from packshot.models.packs.importing import import_pack, lora_of, weight_files
from packshot.models.packs.pack import Pack, find_pack
from packshot.settings import Settings
from tests.loopback_hub import COMMIT, HubRepo, loopback_hub
from tests.tiny_pack import build_tiny_pack

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pack that the checkpoints are like."""
    return build_tiny_pack(tmp_path_factory.mktemp("base") / "tiny", "sd15")


@pytest.fixture
def settings(base: Path, tmp_path: Path) -> Settings:
    return Settings(pack_path=str(base), home=tmp_path / "home", accept_noncommercial=True)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the same sizes with other weights, as diffusers and transformers save it."""
    other = build_tiny_pack(tmp_path_factory.mktemp("other") / "other", "sd15", seed=7)
    folder = other.parent / "my checkpoint"
    roles = yaml.safe_load((other / "manifest.yaml").read_text())["roles"]
    for role, file in (
        ("unet", "diffusion_pytorch_model"),
        ("vae", "diffusion_pytorch_model"),
        ("text_encoder", "model"),
    ):
        (folder / role).mkdir(parents=True)
        save_file(load_file(other / f"{role}.safetensors"), folder / role / f"{file}.safetensors")
        told: dict[str, Any] = {"_class_name": roles[role]["class_name"], "_diffusers_version": "0.42.1"}
        if role == "text_encoder":
            told = {"architectures": ["CLIPTextModel"], "model_type": "clip_text_model", "transformers_version": "5"}
        (folder / role / "config.json").write_text(json.dumps(told | roles[role]["config"]))
    (folder / "tokenizer").mkdir()
    for name in ("vocab.json", "merges.txt"):
        (folder / "tokenizer" / name).write_bytes((other / "tokenizer" / name).read_bytes())
    (folder / "scheduler").mkdir()
    schedule = {"_class_name": "PNDMScheduler", "prediction_type": "v_prediction", "beta_end": 0.013}
    (folder / "scheduler/scheduler_config.json").write_text(json.dumps(schedule))
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionInpaintPipeline"}))
    return folder


def imported(source: Path | str, settings: Settings, **more: Any) -> Pack:
    return import_pack(
        str(source), "mine", settings, **({"like": "tiny", "licence": "MIT", "commercial": "yes"} | more)
    )


def refused(source: Path | str, settings: Settings, **more: Any) -> str:
    with pytest.raises(PackRefused) as error:
        imported(source, settings, **more)
    assert not (settings.pack_cache_dir / "mine").exists(), "nothing half-made stays behind"
    return error.value.detail


@pytest.mark.parametrize("copy", [False, True])
def test_a_diffusers_folder_becomes_a_pack_that_paints(
    checkpoint: Path, base: Path, settings: Settings, copy: bool
) -> None:
    import numpy as np

    from packshot.models.engines.loading import load_engine
    from packshot.types import Brief, EdgeMap, Scene

    made = imported(checkpoint, settings, copy=copy)
    pack = find_pack("mine", settings)
    assert pack.manifest == made.manifest
    assert (pack.manifest.family, pack.manifest.licence, pack.manifest.prediction_type) == (
        "sd15",
        "MIT",
        "v_prediction",
    )
    assert pack.role("scheduler").class_name == "UniPCMultistepScheduler", "the solver is the base pack's"
    assert pack.role("scheduler").config["beta_end"] == 0.013
    assert {row.status for row in pack.verify()} == {"ok"}
    own = load_file(checkpoint / "unet/diffusion_pytorch_model.safetensors")
    assert torch.equal(pack.load("unet").state_dict()["conv_in.weight"], own["conv_in.weight"])
    inherited = load_file(base / "controlnet.safetensors")
    assert torch.equal(pack.load("controlnet").state_dict()["conv_in.weight"], inherited["conv_in.weight"])
    assert (pack.folder / "unet/diffusion_pytorch_model.safetensors").is_symlink() is not copy
    engine = load_engine(pack, "cpu", torch.float32)
    grey = np.full((64, 64, 3), 128, np.uint8)
    repaint, edges = np.full((64, 64), 255, np.uint8), EdgeMap(np.zeros((64, 64), np.uint8))
    row = engine.begin(Scene(grey, repaint, edges, Brief("marble table", seed=1, steps=2, guidance_scale=2.0)))
    while not row.done:
        engine.step([row], 16)
    [picture] = engine.decode([row])
    assert not isinstance(picture, Exception)


def test_a_hub_repository_becomes_a_pinned_pack(
    checkpoint: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    files = {str(path.relative_to(checkpoint)): path.read_bytes() for path in checkpoint.rglob("*") if path.is_file()}
    with loopback_hub(some__one=HubRepo(files)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        pack = imported("some/one", settings)
        source = pack.role("unet").source
        assert source is not None
        assert (source.repo, source.revision, source.subfolder) == ("some/one", COMMIT, "unet")
        assert ("unet", "diffusion_pytorch_model.safetensors") in pack.missing()
        online = Pack(pack.manifest, pack.folder, settings.model_copy(update={"offline": False}))
        online.fetch()
        assert {row.status for row in pack.verify()} <= {"ok", "unverified"}
        own = load_file(checkpoint / "unet/diffusion_pytorch_model.safetensors")
        assert torch.equal(pack.load("unet").state_dict()["conv_in.weight"], own["conv_in.weight"])
        with pytest.raises(PackRefused, match="has no repository some/other"):
            import_pack("some/other", "theirs", settings, like="tiny", licence="MIT", commercial="yes")


def test_weights_that_are_not_the_configs_are_refused(checkpoint: Path, settings: Settings, tmp_path: Path) -> None:
    import shutil

    torn = tmp_path / "torn"
    shutil.copytree(checkpoint, torn)
    config = json.loads((torn / "vae/config.json").read_text())
    (torn / "vae/config.json").write_text(json.dumps(config | {"block_out_channels": [8, 8, 8, 16]}))
    assert "tensors must have the config's shapes" in refused(torn, settings)
    (torn / "vae/config.json").write_text(json.dumps(config | {"latent_channels": 8}))
    assert "must be 8 or 17" in refused(torn, settings)
    (torn / "vae/config.json").write_text(json.dumps(config | {"_class_name": "AutoencoderDC"}))
    assert "vae must be one of AutoencoderKL, AutoencoderTiny, its config says 'AutoencoderDC'" in refused(
        torn, settings
    )


def test_what_is_no_checkpoint_names_the_remedy(checkpoint: Path, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "must be in diffusers' layout" in refused(tmp_path / "empty", settings)
    assert "must be of a known family, sd15 (768)" in refused(checkpoint, settings, like="")
    assert "must be a folder, a file, or a hub repository OWNER/NAME" in refused("no such thing", settings)
    (tmp_path / "model.ckpt").write_bytes(b"\x80\x02")
    assert "must be safetensors; a pickle may hold code" in refused(tmp_path / "model.ckpt", settings)
    save_file({"model.diffusion_model.x": torch.zeros(2)}, tmp_path / "one.safetensors")
    assert "must be of Stable Diffusion 1.5, 2 or XL" in refused(tmp_path / "one.safetensors", settings)
    imported(checkpoint, settings)
    with pytest.raises(PackRefused, match="name must be new"):
        imported(checkpoint, settings)


@pytest.mark.parametrize(
    ("name", "width", "family"),
    [
        ("lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight", 768, "sd15"),
        ("unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight", 2048, "sdxl"),
    ],
)
def test_an_adapter_is_known_by_family_and_rank(
    name: str, width: int, family: str, settings: Settings, tmp_path: Path
) -> None:
    save_file({name: torch.zeros(8, width)}, tmp_path / "style.safetensors")
    assert f"is an adapter (LoRA of rank 8 for {family}) and no checkpoint" in refused(
        tmp_path / "style.safetensors", settings
    )


def test_no_other_file_is_an_adapter() -> None:
    assert lora_of({"conv_in.weight": (320, 4, 3, 3)}) is None
    assert lora_of({"lora_te_x.lora_down.weight": (4, 768)}) == ("an unknown family", 0)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["a.fp16.safetensors", "a.safetensors", "a.bin"], ["a.safetensors"]),
        (["a.fp16.safetensors", "a.bin", "a.non_ema.safetensors"], ["a.fp16.safetensors"]),
        (["a-00001-of-00002.safetensors", "a-00002-of-00002.safetensors"],) * 2,
        (["a.bin", "config.json"], ["a.bin"]),
        (["config.json"], []),
    ],
)
def test_the_weights_of_a_folder(names: list[str], chosen: list[str]) -> None:
    assert weight_files(names) == chosen


RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
ENDS = {"conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2"}
ENDS |= {"time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2"}


def original_unet(name: str) -> str:
    """The original name of a tensor of the tiny UNet: two blocks of one layer, the second with attention."""
    stem, _, kind = name.rpartition(".")
    if stem in ENDS:
        return f"{ENDS[stem]}.{kind}"
    place, *rest = stem.split(".")
    if place == "mid_block":
        what, number, *rest = rest
        block = f"middle_block.{1 if what == 'attentions' else 2 * int(number)}"
    else:
        index, what, number, *rest = rest
        into = place == "down_blocks"
        first = 1 + 2 * int(index) if into else 2 * int(index)
        if what == "downsamplers":
            return f"input_blocks.{first + 1}.0.op.{kind}"
        if what == "upsamplers":
            return f"output_blocks.{first + 1}.{2 if int(index) == 0 else 1}.conv.{kind}"
        block = f"{'input' if into else 'output'}_blocks.{first + int(number)}.{int(what == 'attentions')}"
    inner = ".".join(rest)
    return f"{block}.{RESNET.get(inner, inner)}.{kind}"


def original_vae(name: str) -> str:
    """The original name of a tensor of a VAE of four blocks."""
    name = re.sub(r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d)\.resnets\.(\d)", lambda m: f"up.{3 - int(m[1])}.block.{m[2]}", name)
    name = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{3 - int(m[1])}.upsample", name)
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    name = name.replace("mid_block.attentions.0", "mid.attn_1").replace("conv_norm_out", "norm_out")
    for new, old in (("group_norm", "norm"), ("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out")):
        name = name.replace(f"attn_1.{new}.", f"attn_1.{old}.")
    return name.replace("conv_shortcut", "nin_shortcut")


def one_file(checkpoint: Path, path: Path) -> Path:
    """The checkpoint's networks in one file, by the names of the original Stable Diffusion."""
    unet = load_file(checkpoint / "unet/diffusion_pytorch_model.safetensors")
    vae = load_file(checkpoint / "vae/diffusion_pytorch_model.safetensors")
    text = load_file(checkpoint / "text_encoder/model.safetensors")
    state = {f"model.diffusion_model.{original_unet(name)}": tensor for name, tensor in unet.items()}
    for name, tensor in vae.items():
        linear = ".mid_block.attentions." in name and "group_norm" not in name and name.endswith("weight")
        state[f"first_stage_model.{original_vae(name)}"] = tensor[..., None, None] if linear else tensor
    for name, tensor in text.items():
        state[f"cond_stage_model.transformer.text_model.{name.removeprefix('text_model.')}"] = tensor
    save_file({name: tensor.contiguous().clone() for name, tensor in state.items()}, path)
    return path


def test_one_file_becomes_a_pack_with_the_same_networks(checkpoint: Path, settings: Settings, tmp_path: Path) -> None:
    pack = imported(one_file(checkpoint, tmp_path / "photo.safetensors"), settings, prediction="v_prediction")
    assert pack.manifest.title.startswith("photo.safetensors on ")
    assert pack.manifest.prediction_type == "v_prediction"
    assert {row.status for row in pack.verify()} == {"ok"}
    folder = import_pack(str(checkpoint), "beside", settings, like="tiny", licence="MIT", commercial="yes")
    for role in ("unet", "vae", "text_encoder"):
        ours, theirs = pack.load(role).state_dict(), folder.load(role).state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items()), role


def test_one_file_without_text_encoder_takes_the_base_packs(
    checkpoint: Path, base: Path, settings: Settings, tmp_path: Path
) -> None:
    state = load_file(one_file(checkpoint, tmp_path / "whole.safetensors"))
    part = {name: tensor for name, tensor in state.items() if name.startswith("model.diffusion_model.")}
    save_file(part, tmp_path / "part.safetensors")
    pack = imported(tmp_path / "part.safetensors", settings)
    inherited = load_file(base / "text_encoder.safetensors")
    assert all(torch.equal(inherited[name], tensor) for name, tensor in pack.load("text_encoder").state_dict().items())
    part.pop("model.diffusion_model.out.2.weight")
    save_file(part, tmp_path / "torn.safetensors")
    with pytest.raises(PackRefused, match="1 missing"):
        import_pack(str(tmp_path / "torn.safetensors"), "torn", settings, like="tiny", licence="MIT", commercial="yes")
