"""Tileable noise textures, computed once per device and sampled by coordinates."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F

TILE_PX = 512
CLOUD, MID, FINE, GRAIN = range(4)


@cache
def _bank(device: str) -> torch.Tensor:
    """The textures, float32 1x4x513x513 with unit variance.

    They are cloud (1/f^1.9), mid (1/f^1.2), fine (a band around 1/12 px) and grain (a band around 1/3 px).
    """
    generator = torch.Generator().manual_seed(20)
    fy = torch.fft.fftfreq(TILE_PX)[:, None] * TILE_PX
    fx = torch.fft.rfftfreq(TILE_PX)[None, :] * TILE_PX
    f = torch.sqrt(fx * fx + fy * fy).clamp_min(1.0)
    low_cut = (f >= 2).float()
    spectra = [
        f**-1.9 * low_cut,
        f**-1.2 * low_cut,
        torch.exp(-((torch.log(f / 45.0) / 0.5) ** 2)) / f,
        torch.exp(-((torch.log(f / 150.0) / 0.45) ** 2)) / f,
    ]
    tiles = []
    for spectrum in spectra:
        white = torch.fft.rfft2(torch.randn(TILE_PX, TILE_PX, generator=generator))
        tile = torch.fft.irfft2(white * spectrum, s=(TILE_PX, TILE_PX))
        tiles.append((tile - tile.mean()) / tile.std())
    bank = torch.stack(tiles)[None]
    return F.pad(bank, (0, 1, 0, 1), mode="circular").to(device)


def noise_at(u: torch.Tensor, v: torch.Tensor, kind: int) -> torch.Tensor:
    """Noise at (u, v), in tiles (1.0 = one period): any shape, float32, zero mean, unit variance."""
    bank = _bank(str(u.device))[:, kind : kind + 1]
    grid = torch.stack([(u % 1.0) * 2 - 1, (v % 1.0) * 2 - 1], -1).reshape(1, 1, -1, 2)
    return F.grid_sample(bank, grid, mode="bilinear", align_corners=True).reshape(u.shape)


def cell_random(i: torch.Tensor, j: torch.Tensor, seed: torch.Tensor | float) -> torch.Tensor:
    """A pseudo-random number in 0..1 for each cell (i, j)."""
    return torch.frac(torch.sin(i * 12.9898 + j * 78.233 + seed * 3.17) * 4375.85).abs()
