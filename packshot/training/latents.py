"""The dataset as the networks see it: latents, masks and captions, encoded once and drawn by the step's number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from packshot.training.dataset import Picture
from packshot.training.networks import Networks
from packshot.types import U8

__all__ = ["Batch", "Latents", "Noise", "to_tensor"]

VARIANTS = 3
"""Masks of a picture without a product: the whole picture, and rectangles in it, as inpainting UNets were trained."""
PRODUCT_WEIGHT = 0.25
"""The loss's weight where the product is, which the networks see. The scene around it has 1."""


class Batch(NamedTuple):
    """n samples: clean latents (n, c, h, w), what an inpainting UNet sees (n, 1 + c, h, w) or None, the weight of each
    place in the loss (n, 1, h, w), and the captions."""

    clean: Tensor
    inpaint: Tensor | None
    weight: Tensor
    captions: list[str]


class Noise:
    """The random numbers of one step, for its whole batch of all workers; a worker takes its part.

    They depend on seed and step alone. So a resumed training goes on as if it had never stopped, and two workers take
    the steps of one.
    """

    def __init__(self, seed: int, step: int, batch: int, shape: Sequence[int], stream: int = 0) -> None:
        state = np.random.SeedSequence([seed, step, stream]).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(state[0]))
        self.noise = torch.randn((batch, *shape), generator=generator)
        self.sampled = torch.randn((batch, *shape), generator=generator)
        # Stratified: a timestep from each of `batch` equal intervals gives the loss a lower variance.
        places = torch.randperm(batch, generator=generator) + torch.rand(batch, generator=generator)
        self.shares = places / batch
        self.choices = torch.rand((batch, 2), generator=generator)

    def part(self, rank: int, ranks: int) -> Noise:
        """The numbers of one of `ranks` workers."""
        mine = Noise.__new__(Noise)
        for name, value in vars(self).items():
            setattr(mine, name, value.chunk(ranks)[rank])
        return mine

    def times(self, count: int, device: torch.device) -> Tensor:
        """Timesteps (n,), int64, of 0 to `count` - 1."""
        return (self.shares * count).long().clamp(max=count - 1).to(device)


class Latents:
    """Pictures as latents on the device, each with masks and captions. Masks are drawn by the picture's number."""

    def __init__(self, networks: Networks, pictures: Sequence[Picture], captions: Sequence[str]) -> None:
        self.captions = list(captions)
        self.masked = [picture.mask is not None for picture in pictures]
        mean, deviation, repaint, masked = [], [], [], []
        for index, picture in enumerate(pictures):
            pixels = to_tensor(picture.pixels)
            one, other = networks.encode(pixels)
            mean.append(one)
            deviation.append(other)
            masks = torch.stack([torch.from_numpy(mask)[None] for mask in _repaints(picture, index)])  # (V, 1, S, S)
            small = functional.interpolate(masks, scale_factor=1 / networks.factor).to(networks.device)
            repaint.append(small[None])
            if networks.inpaints:
                masked.append(networks.encode(pixels * (masks < 0.5))[0][None])
        self.mean, self.deviation = torch.cat(mean), torch.cat(deviation)
        self.repaint = torch.cat(repaint)  # (n, V, 1, h, w)
        self.seen = torch.cat(masked) if masked else None  # (n, V, c, h, w)

    def __len__(self) -> int:
        return len(self.captions)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.mean.shape[1:])

    def draw(self, indices: Sequence[int], noise: Noise, dropout: float = 0.0) -> Batch:
        """The samples of these pictures. A share of `dropout` of them has no caption, for guidance."""
        at = torch.tensor(indices, device=self.mean.device)
        variant = (noise.choices[:, 0] * VARIANTS).long().clamp(max=VARIANTS - 1).to(at.device)
        clean = self.mean[at] + self.deviation[at] * noise.sampled.to(at.device)
        repaint = self.repaint[at, variant]
        inpaint = None if self.seen is None else torch.cat([repaint, self.seen[at, variant]], dim=1)
        weight = torch.ones_like(repaint)
        product = torch.tensor([self.masked[index] for index in indices], device=at.device)
        weight[product] = PRODUCT_WEIGHT + (1 - PRODUCT_WEIGHT) * functional.max_pool2d(repaint[product], 3, 1, 1)
        silent = (noise.choices[:, 1] < dropout).tolist()
        captions = ["" if quiet else self.captions[index] for index, quiet in zip(indices, silent, strict=True)]
        return Batch(clean, inpaint, weight, captions)


def to_tensor(pixels: U8) -> Tensor:
    """A picture (uint8 SxSx3) as (1, 3, S, S), fp32, -1..1."""
    return torch.from_numpy(pixels.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]


def _repaints(picture: Picture, index: int) -> list[np.ndarray]:
    """VARIANTS masks of a picture, float32 SxS, 1 = repaint: around its product, exact and grown; else see VARIANTS."""
    import cv2

    rng = np.random.default_rng(index)
    side = picture.pixels.shape[0]
    if picture.mask is not None:
        product = (picture.mask >= 128).astype(np.uint8)
        grown = [product, *(cv2.dilate(product, np.ones((2 * by + 1, 2 * by + 1), np.uint8)) for by in (1, 3))]
        return [(1 - one).astype(np.float32) for one in grown]
    masks = [np.ones((side, side), np.float32)]
    while len(masks) < VARIANTS:
        height, width = rng.integers(side // 2, side + 1, 2)
        top, left = rng.integers(0, side - height + 1), rng.integers(0, side - width + 1)
        mask = np.zeros((side, side), np.float32)
        mask[top : top + height, left : left + width] = 1
        masks.append(mask)
    return masks
