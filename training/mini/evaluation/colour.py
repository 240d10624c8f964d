"""Colour differences as a person sees them, and pictures laid over one colour.

Differences are CIEDE2000 (ΔE): 1 is just visible side by side, 5 is plain. Colours are sRGB, float 0..1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
WHITE, BLACK, GREEN = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (0.0, 177 / 255, 64 / 255)
"""GREEN is a chroma key's: it shows every rest of another background."""


def over(premultiplied: Floats, alpha: Floats, colour: tuple[float, float, float]) -> Floats:
    """A picture (HxWx3, multiplied by its alpha HxW) laid over one colour: HxWx3."""
    return np.asarray(premultiplied + (1 - alpha[..., None]) * np.asarray(colour))


def delta_e(one: Floats, other: Floats) -> Floats:
    """The CIEDE2000 difference of each pixel, HxW. Both pictures are HxWx3."""
    from skimage.color import deltaE_ciede2000, rgb2lab

    return np.asarray(deltaE_ciede2000(*(rgb2lab(np.clip(picture, 0, 1)) for picture in (one, other))))


def lab(picture: NDArray[np.uint8]) -> Floats:
    """CIELAB of a picture (uint8 HxWx3): L 0..100, a and b about -100..100."""
    from skimage.color import rgb2lab

    return np.asarray(rgb2lab(picture))
