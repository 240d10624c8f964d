"""A sheet of what a pack paints, through the engine that serves it: one row a product, one column a prompt."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from packshot.models.denoise import DiffusionEngine
from packshot.models.manifest import read_manifest
from packshot.models.packs import Pack
from packshot.settings import Settings
from packshot.types import Brief, EdgeMap, Scene
from training.scenes import render

PROMPTS = (
    "product on a wooden table, green garden, warm light from the left",
    "white marble table, tile wall, soft light from the right",
    "on sand, night city lights",
    "on slate, red brick wall, hard light from the left",
    "on pink paper, pink studio backdrop, soft light",
    "on linen, bright room with a window, cool light",
    "on white paper, plain white backdrop, soft neutral light",
)


def scene_of(image: np.ndarray, mask: np.ndarray, edges: np.ndarray, prompt: str, seed: int, **brief: object) -> Scene:
    """A drawn product, over grey, to be painted around. image: uint8 HxWx3; mask: float HxW 0..1; edges: uint8 HxW."""
    keep = mask >= 0.5
    product = np.where(keep[..., None], image, 128).astype(np.uint8)
    return Scene(
        product=product,
        inpaint_mask=np.where(keep, 0, 255).astype(np.uint8),
        edge_map=EdgeMap(edges),
        brief=Brief(prompt=prompt, seed=seed, **brief),
    )


def sheet(
    pack_folder: Path, out: Path, rows: int = 4, seed: int = 900_000, locked: bool = True, **brief: object
) -> None:
    """Paint PROMPTS around `rows` products that training has not seen. locked: put the product's own pixels back."""
    pack = Pack(read_manifest(pack_folder / "manifest.yaml"), pack_folder, Settings())
    engine = DiffusionEngine(pack, "cpu", torch.float32)
    defaults = pack.manifest.defaults
    settings = {
        "steps": defaults.steps,
        "guidance_scale": defaults.guidance_scale,
        "control_scale": defaults.control_scale,
        **brief,
    }
    drawn = render(rows, pack.manifest.native_px[0], seed, clutter=0.0)
    lines = []
    for r in range(rows):
        image, mask = drawn.image[r].numpy(), drawn.mask[r].numpy()
        going = [
            engine.begin(scene_of(image, mask, drawn.edges[r].numpy(), prompt, seed=r, **settings))
            for prompt in PROMPTS
        ]
        while not going[0].done:
            engine.step(going)
        painted = [render_.pixels for render_ in engine.decode(going)]
        if locked:
            alpha = mask[..., None]
            painted = [(image * alpha + p * (1 - alpha)).round().astype(np.uint8) for p in painted]
        lines.append(np.concatenate([image, *painted], 1))
    cv2.imwrite(str(out), cv2.cvtColor(np.concatenate(lines), cv2.COLOR_RGB2BGR))
