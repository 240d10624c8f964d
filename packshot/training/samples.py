"""Pictures that the networks paint while they are trained: held-out prompts, and DreamBooth's prior pictures.

The engine that serves is not used here, because it holds its own networks, traced or in another number format.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from packshot.training.dataset import Picture
from packshot.training.latents import to_tensor
from packshot.training.networks import Networks, Residuals
from packshot.types import U8

__all__ = ["Scene", "paint", "scene_around"]

STEPS = 16
Guide = Callable[[Tensor, Tensor, Tensor, Tensor | None, Sequence[int]], Residuals]


class Scene:
    """What surrounds are painted around: a picture's product, or nothing. `number` is the picture's in the dataset.

    `inpaint` (1, 1 + c, h, w) is what an inpainting UNet sees.
    """

    def __init__(self, networks: Networks, picture: Picture | None, size_px: int, number: int = 0) -> None:
        self.picture, self.number = picture, number
        grey = np.full((size_px, size_px, 3), 128, np.uint8)
        mask = np.zeros((size_px, size_px), np.uint8) if picture is None or picture.mask is None else picture.mask
        side = size_px // networks.factor
        repaint = torch.from_numpy((mask < 128).astype(np.float32))[None, None]
        small = torch.nn.functional.interpolate(repaint, (side, side)).to(networks.device)
        seen = to_tensor(grey if picture is None else picture.pixels) * (repaint < 0.5)
        self.inpaint = torch.cat([small, networks.encode(seen)[0]], dim=1) if networks.inpaints else None
        self.shape = (1, networks.channels, side, side)
        self._mask = mask

    def locked(self, painted: U8) -> U8:
        """The painted picture with the product's own pixels, at the painted picture's size."""
        if self.picture is None or self.inpaint is None or not self._mask.any():
            return painted
        import cv2

        height, width = painted.shape[:2]
        own = cv2.resize(self.picture.pixels, (width, height), interpolation=cv2.INTER_CUBIC)
        mask = cv2.resize(self._mask, (width, height), interpolation=cv2.INTER_LINEAR)[..., None] / 255
        return np.asarray((own * mask + painted * (1 - mask)).round(), np.uint8)


def scene_around(networks: Networks, pictures: Sequence[Picture], index: int, size_px: int) -> Scene:
    """The scene of the `index`-th held-out prompt: around the product of a picture that has a mask, else empty."""
    masked = [number for number, picture in enumerate(pictures) if picture.mask is not None]
    number = masked[index % len(masked)] if masked else index % len(pictures)
    return Scene(networks, pictures[number] if masked else None, size_px, number)


@torch.no_grad()
def paint(
    networks: Networks,
    prompts: Sequence[str],
    scenes: Sequence[Scene],
    seed: int,
    guide: Guide | None = None,
    steps: int = STEPS,
) -> list[U8]:
    """Paint a picture of each prompt, uint8 HxWx3, with the pack's scheduler and guidance.

    `guide` is a ControlNet's residuals. Equal seeds give equal noise.
    """
    defaults = networks.pack.manifest.defaults
    generator = torch.Generator().manual_seed(seed)
    noise = torch.cat([torch.randn(scene.shape, generator=generator) for scene in scenes]).to(networks.device)
    texts, pooled = networks.texts([*([""] * len(prompts)), *prompts])
    numbers = [scene.number for scene in scenes] * 2
    given = [scene.inpaint for scene in scenes if scene.inpaint is not None]
    inpaint = torch.cat(given * 2) if given else None
    scheduler = copy.deepcopy(networks.scheduler)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # diffusers 0.42 passes tensors to np.array
        scheduler.set_timesteps(steps)
    latents = noise * scheduler.init_noise_sigma
    for time in scheduler.timesteps:
        scaled = torch.cat([scheduler.scale_model_input(latents, time)] * 2)
        times = time.to(networks.device).expand(len(scaled))
        residuals = None if guide is None else guide(scaled, times, texts, pooled, numbers)
        plain, prompted = networks.predict(scaled, times, texts, pooled, inpaint, residuals).chunk(2)
        guided = plain + defaults.guidance_scale * (prompted - plain)
        if share := defaults.guidance_rescale:
            ratio = prompted.std((1, 2, 3), keepdim=True) / guided.std((1, 2, 3), keepdim=True).clamp(min=1e-8)
            guided = guided * (1 - share + share * ratio)
        latents = scheduler.step(guided, time, latents, return_dict=False)[0]
    return [scene.locked(picture) for scene, picture in zip(scenes, networks.decode(latents), strict=True)]
