"""The conditions of one scene: their control images, and their weight in each step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from packshot.contract.shot_spec import Condition, ConditionKind
from packshot.models.packs.manifest import ControlChannel
from packshot.types import Scene

__all__ = ["Control", "ControlName", "control_image", "masked_picture", "scales_of"]

ControlName = ConditionKind | Literal["inpaint"]
"""What guides a scene through a ControlNet: a condition of its brief, or the picture around what is repainted."""

PARTS: dict[ControlChannel, tuple[ConditionKind, int]] = {
    "normal_left": ("normal", 0),
    "normal_up": ("normal", 1),
    "normal_front": ("normal", 2),
    "segmentation_red": ("segmentation", 0),
    "segmentation_green": ("segmentation", 1),
    "segmentation_blue": ("segmentation", 2),
    "pose_red": ("pose", 0),
    "pose_green": ("pose", 1),
    "pose_blue": ("pose", 2),
}
"""The map and its channel that a control channel shows."""
MASKED: tuple[ControlChannel, ...] = ("masked_red", "masked_green", "masked_blue")


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


def masked_picture(picture: Tensor, repaint: Tensor) -> Tensor:
    """What an inpainting ControlNet sees, (3, H, W) fp32: the picture as 0..1, and -1 where it is repainted.

    `picture` is (1, 3, H, W), -1..1. `repaint` is (1, 1, H, W), 1 = repaint.
    """
    return torch.where(repaint[0] > 0.5, -1.0, picture[0] / 2 + 0.5)


def control_image(scene: Scene, repaint: Tensor, masked: Tensor, channels: Sequence[ControlChannel]) -> Tensor:
    """A control image, (1, K, H, W) fp32, with the K channels that a manifest's `control_channels` lists.

    Its values are 0..1; those of `masked`, a `masked_picture`, are also -1. `repaint` is (1, 1, H, W) fp32, 1 =
    repaint. The scene has the maps that the channels name.
    """
    return torch.stack([_channel(name, scene, repaint, masked) for name in channels])[None]


def _channel(name: ControlChannel, scene: Scene, repaint: Tensor, masked: Tensor) -> Tensor:
    if name == "product":
        return 1 - repaint[0, 0]
    if name in MASKED:
        return masked[MASKED.index(name)]
    if name in PARTS:
        kind, part = PARTS[name]
        pixels = scene.maps.made[kind][..., part]
    else:
        pixels = scene.edge_map.pixels if name == "canny" else scene.maps.made["depth"]
    return torch.from_numpy(pixels.astype(np.float32) / 255).to(repaint.device)
