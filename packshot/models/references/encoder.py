"""Pictures -> the vectors by which an adapter follows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from packshot.errors import EngineFailed
from packshot.models.engines.tensors import convert_memory_errors
from packshot.types import F32, U8

if TYPE_CHECKING:
    from packshot.models.packs.pack import Pack

__all__ = ["READ_PX", "PictureEncoder", "load_picture_encoder"]

READ_PX = 512
"""The longer side to which pictures may be reduced before they are encoded: more than any encoder reads."""
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


class PictureEncoder:
    """Encodes pictures of any size. It is not thread-safe.

    `network` is a CLIPVisionModelWithProjection, which sees the middle square of a picture as it was trained, or a
    SceneEncoder, which sees the whole picture.
    """

    def __init__(self, network: Any, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        self._network, self._device, self._dtype = network, torch.device(device), dtype
        self._is_clip = not hasattr(network, "size_px")
        self._side = int(network.config.image_size if self._is_clip else network.size_px)

    @torch.inference_mode()
    def encode(self, pictures: Sequence[U8]) -> list[F32]:
        """The vectors, float32 (D,) each, of pictures (uint8 HxWx3 RGB), in order.

        Raises EngineFailed: engine_out_of_memory, or engine_nan when a vector is not finite.
        """
        with convert_memory_errors():
            inputs = torch.cat([self._input(picture) for picture in pictures]).to(self._dtype)
            out = self._network(pixel_values=inputs).image_embeds if self._is_clip else self._network(inputs)
            vectors = out.float().cpu()
        if not torch.isfinite(vectors).all():
            detail = f"values must be finite, the image encoder produced NaN or infinity (dtype {self._dtype})"
            raise EngineFailed("engine_nan", f"{detail}; set PACKSHOT_DTYPE=fp32")
        return [np.ascontiguousarray(vector) for vector in vectors.numpy()]

    def _input(self, picture: U8) -> Tensor:
        """The network's input (1, 3, S, S) of a picture."""
        pixels = torch.from_numpy(np.array(picture)).to(self._device).permute(2, 0, 1)[None].float()
        if not self._is_clip:
            return functional.interpolate(pixels, (self._side, self._side), mode="area") / 127.5 - 1
        height, width = pixels.shape[2:]
        shorter = min(height, width)
        size = (int(self._side * height / shorter), int(self._side * width / shorter))
        seen = functional.interpolate(pixels, size, mode="bicubic", antialias=True, align_corners=False)
        top, left = ((side - self._side) // 2 for side in size)
        seen = seen[..., top : top + self._side, left : left + self._side].round().clamp(0, 255) / 255
        mean, std = (torch.tensor(values, device=self._device)[:, None, None] for values in (CLIP_MEAN, CLIP_STD))
        return (seen - mean) / std


def load_picture_encoder(
    pack: Pack, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> PictureEncoder:
    """Load the pack's role `image_encoder`. Raises PackRefused as `Pack.load` does."""
    return PictureEncoder(pack.load("image_encoder", device, dtype), device, dtype)
