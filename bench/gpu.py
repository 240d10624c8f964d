"""The GPU rows: full-size networks with random weights, which take as long as trained ones. Needs CUDA.

SD2 inpainting with a Canny ControlNet at 512², 20 guided steps: our engine with many scenes in each step, against
diffusers' pipeline with one picture. And SAM ViT-H. Without CUDA the rows are reported as not measured. Parity with the
pipeline is tested on small networks (tests/unit/models/test_unet_controlnet.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from bench.harness import Row, not_measured, print_row, timed
from packshot.imaging.codec import encode_png, read_photo
from packshot.models.engines.unet_controlnet import DiffusionEngine
from packshot.models.engines.word_tokenizer import Tokenizer
from packshot.models.packs.pack import Pack, find_pack
from packshot.models.packs.roles import RoleName
from packshot.models.packs.weights import build
from packshot.models.segment.network import VIT_H, build_sam
from packshot.models.segment.segmenter import SamEncoder
from packshot.settings import Settings
from packshot.types import Brief, EdgeMap, Photo, Scene

ENGINE = Row(
    "GPU-engine", "images/s, SD2 + ControlNet 512², 20 guided steps, ÷ eager diffusers one at a time", 4.0, True
)
ROOF = Row("GPU-roof", "the same ÷ 16.75 images/s, an H200's arithmetic", 0.5, True)
ENCODER = Row("GPU-sam", "SAM ViT-H images/s ÷ 75", 1.0, True)
ROOF_IMAGES_S, SAM_IMAGES_S = 16.75, 75.0
STEPS, SCENES, PHOTOS, REPEATS = 20, 16, 8, 5


class Blank:
    """A tokenizer that turns every text into the same token, repeated."""

    def __init__(self, max_length: int) -> None:
        self.max_length = max_length
        self.vocab_size = 1

    def overflow(self, text: str) -> int:
        return 0

    def unknown(self, text: str) -> list[str]:
        return []

    def blank(self, text: str) -> bool:
        return False

    def __call__(self, texts: Sequence[str]) -> NDArray[np.int64]:
        return np.zeros((len(texts), self.max_length), np.int64)


class RandomPack(Pack):
    """A pack with the network sizes of its manifest and random weights. No file is read."""

    def tokenizer(self) -> Tokenizer:
        return Blank(int(self.role("text_encoder").config["max_position_embeddings"]))

    def load(
        self,
        role: RoleName,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        *,
        fp32: tuple[str, ...] = (),
    ) -> Any:
        if role == "tokenizer_2":
            return Blank(int(self.role("text_encoder_2").config["max_position_embeddings"]))
        spec = self.role(role)
        made = build(spec.class_name, spec.config)
        return made if role == "scheduler" else randomised(made, dtype or torch.float32, device)


def randomised(network: Any, dtype: torch.dtype, device: torch.device | str = "cpu") -> Any:
    """A network of `build` in eval mode on `device`, with small random weights so that no activation overflows."""
    shapes = {name: weight.shape for name, weight in network.named_parameters()}
    weights = {name: torch.empty(shape, dtype=dtype, device=device) for name, shape in shapes.items()}
    for weight in weights.values():
        weight.normal_(0, 0.02)
    network.load_state_dict(weights, strict=False, assign=True)
    return network.to(device, dtype).eval()


def engine_seconds(pack: Pack, device: torch.device, dtype: torch.dtype, scenes: int, steps: int) -> list[float]:
    """Seconds to paint `scenes` scenes that share every step, with begin and decode; one value per repeat."""
    engine = DiffusionEngine(pack, device, dtype)
    width, height = engine.native
    repaint = np.full((height, width), 255, np.uint8)
    product = np.full((height, width, 3), 128, np.uint8)
    briefs = [Brief("", seed=seed, steps=steps, guidance_scale=7.5) for seed in range(scenes)]

    def once() -> None:
        rows = [engine.begin(Scene(product, repaint, EdgeMap(repaint), brief)) for brief in briefs]
        while not rows[0].done:
            engine.step(rows)
        engine.decode(rows)

    once()
    return [timed(once) for _ in range(REPEATS)]


def pipeline_seconds(pack: Pack, device: torch.device, dtype: torch.dtype, steps: int) -> list[float]:
    """Seconds of one picture from diffusers' unmodified pipeline, with encoded texts; one value per repeat."""
    from diffusers import StableDiffusionControlNetInpaintPipeline

    names: tuple[RoleName, ...] = ("text_encoder", "vae", "unet", "controlnet", "scheduler")
    parts = {role: pack.load(role, device, dtype) for role in names}
    pipeline = StableDiffusionControlNetInpaintPipeline(
        **parts, tokenizer=None, safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )
    pipeline.set_progress_bar_config(disable=True)
    config = pack.role("text_encoder").config
    texts = torch.zeros(1, config["max_position_embeddings"], config["hidden_size"], device=device, dtype=dtype)
    grey = Image.new("RGB", pack.manifest.native_px, (128, 128, 128))

    def once() -> None:
        pipeline(
            prompt_embeds=texts,
            negative_prompt_embeds=texts,
            image=grey,
            mask_image=Image.new("L", grey.size, 255),
            control_image=grey,
            strength=1.0,
            num_inference_steps=steps,
            guidance_scale=7.5,
        )

    once()
    return [timed(once) for _ in range(REPEATS)]


def encoder_seconds(config: dict[str, Any], device: torch.device, dtype: torch.dtype, photos: int) -> list[float]:
    """Seconds of one call that encodes `photos` photos; one value per repeat."""
    encoder = SamEncoder(randomised(build_sam(config), torch.float32, device), device, dtype)
    photo: Photo = read_photo(encode_png(np.full((768, 1024, 3), 128, np.uint8)))
    encoder.encode([photo] * photos)
    return [timed(lambda: encoder.encode([photo] * photos)) for _ in range(REPEATS)]


def main() -> int:
    """Measure and report."""
    if not torch.cuda.is_available():
        for row in (ENGINE, ROOF, ENCODER):
            not_measured(row, "no CUDA device")
        return 0
    device, dtype = torch.device("cuda"), torch.bfloat16
    found = find_pack("sd2", Settings())
    pack = RandomPack(found.manifest, found.folder, found.settings)
    ours, theirs = engine_seconds(pack, device, dtype, SCENES, STEPS), pipeline_seconds(pack, device, dtype, STEPS)
    rates = [SCENES / seconds for seconds in ours]
    photos = [PHOTOS / seconds for seconds in encoder_seconds(VIT_H, device, dtype, PHOTOS)]
    where = torch.cuda.get_device_name()
    holds = [
        print_row(
            ENGINE, [rate * other for rate, other in zip(rates, theirs, strict=True)], device=where, images_s=rates
        ),
        print_row(ROOF, [rate / ROOF_IMAGES_S for rate in rates], device=where),
        print_row(ENCODER, [rate / SAM_IMAGES_S for rate in photos], device=where, photos_s=photos),
    ]
    return 0 if all(math.isfinite(rate) for rate in rates) and all(holds) else 1


if __name__ == "__main__":
    raise SystemExit(main())
