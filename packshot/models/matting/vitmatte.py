"""ViTMatte (Yao et al. 2023): a plain vision transformer that finds alpha from a picture and its trimap.

The network is transformers' VitMatteForImageMatting. Its input has four channels: the picture in -1..1, and the trimap
in 0..1. `packshot.imaging.matting` chooses the tiles that it sees.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from packshot.types import F32, U8

if TYPE_CHECKING:
    from torch import nn

    from packshot.models.packs.pack import Pack

__all__ = ["VitMatte", "load_matting"]

log = logging.getLogger(__name__)

SIDE_PX = 32
"""The input's sides must be multiples of this. Smaller inputs are padded at the right and at the bottom."""


class VitMatte:
    """A ViTMatte network on the CPU, in fp32. It implements `packshot.imaging.matting.MattingNetwork`.

    Several threads may call it. `threads` is the number of torch threads of a call; 0 = torch's choice.
    """

    def __init__(self, network: nn.Module, threads: int = 1) -> None:
        self._network = network
        self._threads = threads

    def alpha(self, rgb: U8, trimap: U8) -> F32:
        """The alpha of a picture, float32 HxW, 0..1.

        `rgb` is uint8 HxWx3. `trimap` is uint8 HxW: 255 = product, 0 = backdrop, 128 = unknown.
        """
        import torch

        from packshot.models.device import use_threads

        use_threads(self._threads)
        height, width = trimap.shape
        inputs = np.zeros((4, -height % SIDE_PX + height, -width % SIDE_PX + width), np.float32)
        inputs[:3, :height, :width] = (rgb.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)
        inputs[3, :height, :width] = trimap.astype(np.float32) / 255
        with torch.inference_mode():
            (alphas,) = self._network(torch.from_numpy(inputs)[None], return_dict=False)[:1]  # (1, 1, H, W)
        found: F32 = alphas[0, 0, :height, :width].numpy()
        return found


def load_matting(pack: Pack, threads: int = 1) -> VitMatte | None:
    """The pack's matting network, or None when the pack has none or its files are not on this machine.

    The role is optional, so missing files are a warning. Raises PackRefused (pack_corrupt or pack_mismatch).
    """
    if "matting" not in pack.manifest.roles:
        return None
    if pack.settings.offline and pack.missing("matting"):
        remedy = f"packshot packs fetch {pack.name} downloads its files"
        log.warning(
            "pack %s: the matting network is missing, so edges are solved in closed form; %s", pack.name, remedy
        )
        return None
    return VitMatte(pack.load("matting"), threads)
