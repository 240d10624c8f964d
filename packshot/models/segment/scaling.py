"""How a photo is scaled for the image encoder and for its thumbnails, and how the network's masks are scaled back."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from packshot.types import Embedding, Photo

__all__ = ["fit_inside", "resize", "spread", "thumbnail"]


def fit_inside(photo: Photo, longest_px: int) -> tuple[int, int]:
    """The photo's (width, height) after it is scaled to a longer side of `longest_px` pixels."""
    scale = longest_px / max(photo.width, photo.height)
    return max(1, int(photo.width * scale + 0.5)), max(1, int(photo.height * scale + 0.5))


def resize(photo: Photo, size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(photo.pixels).resize(size, Image.Resampling.BILINEAR))


def thumbnail(photo: Photo, longest_px: int) -> NDArray[np.uint8]:
    """The photo, shrunk to a longer side of at most `longest_px` pixels: uint8 hxwx3 RGB."""
    if max(photo.width, photo.height) <= longest_px:
        return photo.pixels.copy()
    return np.asarray(cv2.resize(photo.pixels, fit_inside(photo, longest_px), interpolation=cv2.INTER_AREA), np.uint8)


def spread(logits: Tensor, embedding: Embedding, side_px: int, size: tuple[int, ...]) -> Tensor:
    """Upsample logits to the encoder's square of `side_px`, crop them to the photo, and resize to `size` (h, w)."""
    square = cv2.resize(logits.numpy(), (side_px, side_px), interpolation=cv2.INTER_LINEAR)
    inside = square[: embedding.input_height, : embedding.input_width]
    resized = cv2.resize(inside, size[::-1], interpolation=cv2.INTER_LINEAR)  # in half of torch's time
    return torch.from_numpy(resized)
