"""How different two colours look: CIEDE2000, the difference that standards of print and photography use.

1 is about the smallest difference that a trained eye sees side by side. Formulas and names are those of Sharma, Wu and
Dalal, "The CIEDE2000 color-difference formula" (2005).
"""

from __future__ import annotations

import cv2
import numpy as np

from packshot.types import F32, U8

__all__ = ["ciede2000", "delta_e"]

_FAR = np.float32(25.0**7)


def delta_e(one: U8, other: U8) -> F32:
    """The CIEDE2000 difference of each pair of sRGB colours: uint8 Nx3 and Nx3 -> float32 N."""
    return ciede2000(_lab(one), _lab(other))


def _lab(colours: U8) -> F32:
    share = colours.reshape(-1, 1, 3).astype(np.float32) / 255
    return np.asarray(cv2.cvtColor(share, cv2.COLOR_RGB2Lab), np.float32).reshape(-1, 3)


def ciede2000(one: F32, other: F32) -> F32:
    """The difference of each pair of colours in CIE L*a*b*: float32 Nx3 and Nx3 -> float32 N."""
    lightness1, a1, b1 = one.T
    lightness2, a2, b2 = other.T
    mean_chroma7 = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7
    stretch = np.float32(1.5) - np.float32(0.5) * np.sqrt(mean_chroma7 / (mean_chroma7 + _FAR))
    a1, a2 = a1 * stretch, a2 * stretch
    chroma1, chroma2 = np.hypot(a1, b1), np.hypot(a2, b2)
    chroma = (chroma1 + chroma2) / 2
    hue1, hue2 = np.arctan2(b1, a1), np.arctan2(b2, a2)
    turn = hue2 - hue1
    turn -= np.float32(2 * np.pi) * np.rint(turn / np.float32(2 * np.pi))
    grey = chroma1 * chroma2 == 0
    hue = np.where(grey, hue1 + hue2, hue1 + turn / 2)  # the mean on the shorter arc
    weight = (
        1
        - 0.17 * np.cos(hue - np.float32(np.pi / 6))
        + 0.24 * np.cos(2 * hue)
        + 0.32 * np.cos(3 * hue + np.float32(np.pi / 30))
        - 0.20 * np.cos(4 * hue - np.float32(63 * np.pi / 180))
    )
    blue = np.rad2deg(hue) % 360 - 275
    chroma7 = chroma**7
    rotation = -2 * np.sqrt(chroma7 / (chroma7 + _FAR)) * np.sin(np.float32(np.pi / 3) * np.exp(-((blue / 25) ** 2)))
    middle = ((lightness1 + lightness2) / 2 - 50) ** 2
    light = (lightness2 - lightness1) / (1 + 0.015 * middle / np.sqrt(20 + middle))
    colourful = (chroma2 - chroma1) / (1 + 0.045 * chroma)
    tint = 2 * np.sqrt(chroma1 * chroma2) * np.sin(np.where(grey, 0, turn) / 2) / (1 + 0.015 * chroma * weight)
    squared = light**2 + colourful**2 + tint**2 + rotation * colourful * tint
    return np.asarray(np.sqrt(np.maximum(squared, 0)), np.float32)
