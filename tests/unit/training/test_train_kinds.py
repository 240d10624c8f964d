"""Each kind of training, on tiny packs of each family: what it changes, and that others load its files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from packshot.models.packs.pack import find_pack
from packshot.settings import Settings
from packshot.training.progress import TrainingOptions
from packshot.training.spec import Kind, TrainingSpec
from packshot.training.train import train

Dataset = Callable[[int], Path]
SIZE_PX = 64


def spec(kind: Kind, pack: str, pictures: Path, **more: Any) -> TrainingSpec:
    """A training of four steps."""
    given: dict[str, Any] = {"repeats": 2, "epochs": 1, "batch": len(list(pictures.glob("*.txt"))) // 2, "rank": 2}
    return TrainingSpec(kind=kind, name="acme", pack=pack, pictures=pictures, **(given | more))


@pytest.mark.usefixtures("with_tiny_packs")
class TestEachKind:
    @pytest.mark.parametrize("family", ["mini", "sd15", "sdxl"])
    def test_a_lora_is_trained_and_loads_in_diffusers_in_both_layouts(
        self, family: str, dataset: Dataset, tmp_path: Path
    ) -> None:
        wanted = spec("lora", f"tiny-{family}", dataset(4), text_encoder=family != "mini")
        result = train(tmp_path, TrainingOptions(lr=0.05), wanted)
        assert (result["steps"], result["of_steps"], result["ended"]) == (4, 4, "whole")
        state = load_file(tmp_path / "acme.safetensors")
        assert any(tensor.any() for name, tensor in state.items() if name.endswith("lora_B.weight"))
        with safe_open(tmp_path / "acme.safetensors", "pt") as file:
            about = file.metadata()
        assert (about["packshot.base"], about["packshot.rank"]) == (f"tiny-{family}", "2")
        assert json.loads(about["packshot.lineage"])["steps"] == 4
        one, other = (
            changed_by(f"tiny-{family}", tmp_path / name) for name in ("acme.safetensors", "acme.kohya.safetensors")
        )
        assert torch.equal(one, other)


def changed_by(pack_name: str, file: Path) -> torch.Tensor:
    """A weight of the UNet and text encoders' LoRAs, fused by diffusers from a LoRA file."""
    from diffusers import StableDiffusionInpaintPipeline, StableDiffusionXLInpaintPipeline

    pack = find_pack(pack_name, Settings())
    parts = {role: pack.load(role) for role in ("unet", "vae", "text_encoder", "scheduler")}
    if pack.manifest.family == "sdxl":
        parts |= {"text_encoder_2": pack.load("text_encoder_2"), "tokenizer": None, "tokenizer_2": None}
        pipe: Any = StableDiffusionXLInpaintPipeline(**parts, feature_extractor=None, image_encoder=None)
    else:
        parts |= {"tokenizer": None, "safety_checker": None, "feature_extractor": None}
        pipe = StableDiffusionInpaintPipeline(**parts, requires_safety_checker=False)
    before = {name: weight.clone() for name, weight in pipe.unet.state_dict().items()}
    texts = {name: weight.clone() for name, weight in pipe.text_encoder.state_dict().items()}
    pipe.load_lora_weights(str(file.parent), weight_name=file.name)
    pipe.fuse_lora()
    pipe.unload_lora_weights()
    changed = [weight for name, weight in pipe.unet.state_dict().items() if not torch.equal(weight, before[name])]
    if pack.manifest.family != "mini":
        changed += [w for name, w in pipe.text_encoder.state_dict().items() if not torch.equal(w, texts[name])]
    assert changed
    return torch.cat([weight.flatten() for weight in changed])
