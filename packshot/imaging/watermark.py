"""An invisible watermark in the scene of a picture: 40 bits that survive encoding and resizing.

    embed:   payload + check bits ──spread over frequencies──> pattern ──× how much the scene hides──> + luma
    detect:  luma ──512 x 512, what the scene hides alike──> phases ──correlate──> bits ──check──> payload or None

The pattern is a set of waves of the whole frame: each wave of the band belongs to one bit, whose sign turns it. So the
detector needs neither the original nor its size: it squeezes any size to the same grid. Waves of 64 to 200 periods a
frame are 5 to 16 px long in a picture of 1,024 px; JPEG keeps those best. Only pixels of the scene change: the product
and a margin around it stay exact.

This is spread-spectrum marking with a phase-only correlation as the detector. A cropped picture is not read.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from packshot.types import U8

__all__ = ["MARGIN_PX", "PAYLOAD_BITS", "embed", "read_mark"]

PAYLOAD_BITS = 40
CHECK_BITS = 16
MARGIN_PX = 8
"""Pixels around the product that stay as they are."""

_GRID = 512
_BAND = (48, 200)
"""The waves that carry bits, in periods a frame."""
_SEED = 0x5AC2
_STRENGTH = 0.75
"""Standard deviation of the pattern in a smooth scene, grey levels."""
_MOST = 2.0
"""The same in a busy one, which hides more."""
_BUSY = 7.0
"""Standard deviation of luma in a neighbourhood from which a scene counts as busy."""
_BUSY_PX = 512
"""Longer side of the copy on which busy neighbourhoods are found, pixels."""
_UNSURE = 5
"""The weakest bits, of which the check bits may turn any."""
_FLOOR = 5.0
"""The correlation in standard deviations that the mark as a whole must reach, beside its check bits."""


def embed(pixels: U8, payload: int, product_alpha: U8 | None) -> U8:
    """The picture (uint8 HxWx3 RGB) with a mark in its scene. `payload` has PAYLOAD_BITS bits.

    `product_alpha` is the product's alpha, uint8 HxW: its pixels and MARGIN_PX around them stay exact. None = the whole
    picture is scene. Raises ValueError for a payload that is too long.
    """
    if not 0 <= payload < 1 << PAYLOAD_BITS:
        raise ValueError(f"payload must have at most {PAYLOAD_BITS} bits, got {payload}")
    height, width = pixels.shape[:2]
    bits = _with_check(payload)
    pattern = cv2.resize(_pattern(tuple(bits)), (width, height), interpolation=cv2.INTER_CUBIC)
    change = cv2.multiply(pattern, _hidden(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)))
    if product_alpha is not None:
        reach = 2 * MARGIN_PX + 1
        near = cv2.dilate((product_alpha > 0).astype(np.uint8), np.ones((reach, reach), np.uint8))
        change[near > 0] = 0
    red, green, blue = cv2.split(pixels)
    least, most = cv2.min(cv2.min(red, green), blue), cv2.max(cv2.max(red, green), blue)
    room = cv2.min(least, 255 - most).astype(np.float32)  # keep the hue: clip nothing
    levels = np.rint(cv2.min(cv2.max(change, -room), room)).astype(np.int16)
    return np.asarray(pixels + levels[..., None], np.uint8)


def read_mark(pixels: U8) -> int | None:
    """The payload of a picture's mark; None when it has none that can be read. `pixels` is uint8 HxWx3 RGB."""
    luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    small = cv2.resize(luma, (_GRID, _GRID), interpolation=cv2.INTER_AREA)
    detail = small - cv2.GaussianBlur(small, (0, 0), 6)
    spread = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), 6)) + 0.5
    found = np.fft.rfft2(np.clip(detail / spread, -3, 3))
    rows, columns, owners, phases = _waves()
    at = found[rows, columns]
    agreement = np.real(at / (np.abs(at) + 1e-9) * np.conj(phases))
    count = np.bincount(owners, minlength=PAYLOAD_BITS + CHECK_BITS)
    score = np.bincount(owners, agreement, minlength=PAYLOAD_BITS + CHECK_BITS) / np.sqrt(count / 2)  # N(0, 1) unmarked
    total = (np.abs(score) - np.sqrt(2 / np.pi)).sum() / np.sqrt(len(score) * (1 - 2 / np.pi))
    if total < _FLOOR:
        return None
    weakest = np.argsort(np.abs(score))[:_UNSURE]
    for flips in sorted(range(1 << _UNSURE), key=int.bit_count):
        bits = score > 0
        bits[weakest] ^= np.array([bool(flips >> at & 1) for at in range(_UNSURE)])
        payload = int("".join("1" if bit else "0" for bit in bits[:PAYLOAD_BITS]), 2)
        if np.array_equal(bits, _with_check(payload)):
            return payload
    return None


def _with_check(payload: int) -> NDArray[np.bool_]:
    """The payload's bits, and the bits of its checksum (CRC-16/CCITT)."""
    check = 0xFFFF
    for byte in payload.to_bytes(PAYLOAD_BITS // 8, "big"):
        check ^= byte << 8
        for _ in range(8):
            check = (check << 1 ^ (0x1021 if check & 0x8000 else 0)) & 0xFFFF
    digits = f"{payload:0{PAYLOAD_BITS}b}{check:0{CHECK_BITS}b}"
    return np.array([digit == "1" for digit in digits])


@cache
def _waves() -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.complex128]]:
    """The waves that carry bits: their rows and columns in a spectrum of the grid, their bits, and their phases."""
    down = np.fft.fftfreq(_GRID, 1 / _GRID)[:, None]
    across = np.arange(_GRID // 2 + 1)[None]
    radius = np.hypot(down, across)
    rows, columns = np.nonzero((radius >= _BAND[0]) & (radius <= _BAND[1]) & (across > 0))
    rng = np.random.default_rng(_SEED)
    owners = rng.permutation(len(rows)) % (PAYLOAD_BITS + CHECK_BITS)
    return rows, columns, owners, np.exp(2j * np.pi * rng.random(len(rows)))


def _pattern(bits: tuple[bool, ...]) -> NDArray[np.float32]:
    """The waves of these bits on the grid, with a standard deviation of 1."""
    rows, columns, owners, phases = _waves()
    spectrum = np.zeros((_GRID, _GRID // 2 + 1), np.complex128)
    spectrum[rows, columns] = np.where(np.array(bits)[owners], 1, -1) * phases
    waves = np.fft.irfft2(spectrum, (_GRID, _GRID))
    return np.asarray(waves / waves.std(), np.float32)


def _hidden(luma: U8) -> NDArray[np.float32]:
    """The strength of the pattern at each pixel of uint8 HxW, grey levels: a busy neighbourhood hides more.

    It is smooth, so it is found on a copy of about _BUSY_PX pixels a side.
    """
    height, width = luma.shape
    share = min(1.0, _BUSY_PX / max(height, width))
    size = (max(1, round(width * share)), max(1, round(height * share)))
    exact = luma.astype(np.float32)
    mean = cv2.resize(exact, size, interpolation=cv2.INTER_AREA)
    square = cv2.resize(cv2.multiply(exact, exact), size, interpolation=cv2.INTER_AREA)
    sigma = max(size) / 128
    mean, square = (cv2.GaussianBlur(one, (0, 0), sigma) for one in (mean, square))
    busy = np.clip(np.sqrt(np.maximum(square - mean * mean, 0)) / _BUSY, 0, 1)
    strength = (_STRENGTH + (_MOST - _STRENGTH) * busy).astype(np.float32)
    return np.asarray(cv2.resize(strength, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
