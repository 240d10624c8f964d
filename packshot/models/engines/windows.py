"""Overlapping windows over the latents of a scene that is larger than the pack's buckets.

This is MultiDiffusion (Bar-Tal et al. 2023), with an outline before it.

In each denoising step the networks see every window as a batch row of its own. The predictions are averaged where the
windows overlap, and the scheduler steps the whole scene. All windows share the scene's noise.

Each window is denoised without knowledge of the others, so the windows alone would each paint their own horizon. The
first steps (`packshot.models.packs.framing.outline_steps`) therefore paint the whole scene squeezed into one window.
Their clean latents are expanded to the scene's size and noised again to the next timestep, from which the windows
continue.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import torch
from torch import Tensor

from packshot.models.packs.framing import Tiling
from packshot.types import ConditionMaps, EdgeMap, Scene

__all__ = ["MANY_ROWS", "Windows", "squeezed"]

MANY_ROWS = 1 << 30
"""More batch rows than any step has."""


@dataclass(frozen=True)
class Windows:
    """The windows of a scene, left to right or top to bottom.

    `size` is the scene's (width, height), `window` that of each window, and `corners` holds each window's (left, top).
    The unit is one latent, or one pixel after `times`.
    """

    size: tuple[int, int]
    window: tuple[int, int]
    corners: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, tiling: Tiling, factor: int) -> Windows:
        """The windows of a tiling in latents, spread evenly. `factor` is the VAE's: pixels of one latent."""
        (width, height), (window_w, window_h) = ((w // factor, h // factor) for w, h in (tiling.size, tiling.window))
        last = max(1, tiling.count - 1)
        lefts, tops = (
            [(side * i) // last for i in range(tiling.count)] for side in (width - window_w, height - window_h)
        )
        return cls((width, height), (window_w, window_h), tuple(zip(lefts, tops, strict=True)))

    @classmethod
    def one(cls, size: tuple[int, int]) -> Windows:
        """A scene of this size in one window."""
        return cls(size, size, ((0, 0),))

    def __len__(self) -> int:
        return len(self.corners)

    def times(self, factor: int) -> Windows:
        """The same windows in units that are `factor` times smaller."""
        corners = tuple((left * factor, top * factor) for left, top in self.corners)
        (width, height), (window_w, window_h) = self.size, self.window
        return Windows((width * factor, height * factor), (window_w * factor, window_h * factor), corners)

    def split(self, whole: Tensor) -> Tensor:
        """The windows (n, c, h, w) of a scene (1, c, H, W)."""
        if len(self) == 1:
            return whole
        width, height = self.window
        return torch.cat([whole[..., top : top + height, left : left + width] for left, top in self.corners])

    def merge(self, parts: Tensor) -> Tensor:
        """The scene (1, c, H, W) of its windows (n, c, h, w): their mean, weighted by the distance from the border."""
        if len(self) == 1:
            return parts
        (width, height), (window_w, window_h) = self.size, self.window
        weight = self._weight().to(parts.device)
        total = torch.zeros((1, parts.shape[1], height, width), dtype=parts.dtype, device=parts.device)
        weights = torch.zeros((1, 1, height, width), dtype=parts.dtype, device=parts.device)
        for part, (left, top) in zip(parts, self.corners, strict=True):
            at = np.s_[..., top : top + window_h, left : left + window_w]
            total[at] += part * weight
            weights[at] += weight
        return total / weights

    def _weight(self) -> Tensor:
        """The weight (h, w) of a window's pixels: it falls linearly to nearly 0 over an overlap with another window."""
        ramps = []
        for axis, side in ((1, self.window[1]), (0, self.window[0])):
            steps = [after[axis] - before[axis] for before, after in pairwise(self.corners)]
            overlap = side - min(steps) if steps and max(steps) > 0 else 1
            near = torch.arange(1, side + 1, dtype=torch.float32)
            ramps.append(torch.minimum(near, near.flip(0)).clamp(max=max(1, overlap)))
        return ramps[0][:, None] * ramps[1][None]


def squeezed(scene: Scene, size: tuple[int, int]) -> Scene:
    """The scene resampled to `size` (width, height) in pixels, with another aspect ratio, for its outline."""
    product, mask, edges = (
        cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        for pixels in (scene.product, scene.inpaint_mask, scene.edge_map.pixels)
    )
    maps = {kind: cv2.resize(made, size, interpolation=cv2.INTER_AREA) for kind, made in scene.maps.made.items()}
    # area averaging makes a thin edge faint: each pixel that holds a part of an edge becomes an edge
    return Scene(
        np.asarray(product, np.uint8),
        np.where(mask >= 128, np.uint8(255), np.uint8(0)),
        EdgeMap(np.where(edges > 0, np.uint8(255), np.uint8(0))),
        scene.brief,
        ConditionMaps(**{kind: np.asarray(made, np.uint8) for kind, made in maps.items()}),
        references=scene.references,
        adapters=scene.adapters,
    )
