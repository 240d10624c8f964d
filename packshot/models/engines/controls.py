"""The conditions of one scene: their control images, and their weight in each step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from packshot.contract.shot_spec import Condition, ConditionKind
from packshot.models.packs.manifest import ControlChannel
from packshot.types import Scene

__all__ = ["Control", "control_image", "scales_of"]

PARTS: dict[ControlChannel, tuple[ConditionKind, int]] = {
    "normal_left": ("normal", 0),
    "normal_up": ("normal", 1),
    "normal_front": ("normal", 2),
    "segmentation_red": ("segmentation", 0),
    "segmentation_green": ("segmentation", 1),
    "segmentation_blue": ("segmentation", 2),
}
"""The map and its channel that a control channel shows."""


@dataclass(frozen=True)
class Control:
    """A condition of a scene of n windows.

    `embedded` (n, C, h, w) is the embedded control image of each window, in the engine's dtype. `scales` holds one
    weight for each step, which is 0 outside the condition's part of the schedule.
    """

    embedded: Tensor
    scales: tuple[float, ...]


def scales_of(condition: Condition, steps: int) -> tuple[float, ...]:
    """The condition's weight in each of `steps` steps."""
    return tuple(
        condition.scale if condition.start <= i / steps and (i + 1) / steps <= condition.end else 0.0
        for i in range(steps)
    )


def control_image(scene: Scene, repaint: Tensor, channels: Sequence[ControlChannel]) -> Tensor:
    """A control image, (1, K, H, W) fp32, 0..1, with the K channels that a manifest's `control_channels` lists.

    `repaint` is (1, 1, H, W) fp32, 1 = repaint. The scene has the maps that the channels name.
    """
    return torch.stack([_channel(name, scene, repaint) for name in channels])[None]


def _channel(name: ControlChannel, scene: Scene, repaint: Tensor) -> Tensor:
    if name == "product":
        return 1 - repaint[0, 0]
    if name in PARTS:
        kind, part = PARTS[name]
        pixels = scene.maps.made[kind][..., part]
    else:
        pixels = scene.edge_map.pixels if name == "canny" else scene.maps.made["depth"]
    return torch.from_numpy(pixels.astype(np.float32) / 255).to(repaint.device)
