"""The VAE: an AutoencoderTiny with 8 latent channels at 1/8 resolution, trained on crops of scenes and photographs.

The loss has three terms: L1 for colour, L1 of the gradients for edges, and the difference of the amplitude spectra of
16 px patches for texture, which penalises blur. A regulariser keeps the latents near zero mean and unit variance, so
that scaling_factor is 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import skimage.data
import torch
from diffusers import AutoencoderTiny
from torch import Tensor, nn
from torch.nn import functional as F

from packshot.training.fit import Loss, fit
from packshot.training.progress import Run, TrainingOptions, read_checkpoint

CHANNELS, ENCODER_CHANNELS = 32, 64
"""The widths of the decoder and of the encoder, which runs at a quarter of the decoded pixels and may be wider."""
ENLARGES = 2
"""How many times larger a decoded picture is than the encoded one, on each side."""
CONFIG = {
    "latent_channels": 8,
    "encoder_block_out_channels": [ENCODER_CHANNELS] * 4,
    "decoder_block_out_channels": [CHANNELS] * 5,
    "num_encoder_blocks": [0, 1, 2, 3],
    "num_decoder_blocks": [3, 3, 2, 1, 0],
    "scaling_factor": 1.0,
}
CROP_PX = 64
"""The side of an encoded crop. Its decoded picture is ENLARGES times as large."""
TEXTURE = 0.6
"""The weight of the spectra's difference. What cannot be known at the decoded size must still have its contrast."""
LARGE = "-512"
"""Scenes of 512 px stand in a folder of this suffix beside the scenes, where there are any."""


TILE_PX = 256
"""The side of the squares that photographs are cut into. Neighbours overlap by half."""
LARGE_SHARE, SCENES_SHARE, PHOTOS_SHARE = 0.5, 0.2, 0.3
"""The shares of crops from scenes of 512 px, from scenes of the painter's size, and from photographs."""


def photographs() -> list[np.ndarray]:
    """The real photographs of scikit-image's wheel at their own size: uint8 HxWx3."""
    out = []
    for name in ("coffee", "chelsea", "astronaut", "rocket", "brick", "grass", "gravel"):
        try:
            picture = getattr(skimage.data, name)()
        except (OSError, ModuleNotFoundError, ValueError):  # some need a download
            continue
        out.append(np.repeat(picture[..., None], 3, 2) if picture.ndim == 2 else picture[..., :3])
    return out


def tiles(picture: np.ndarray) -> Iterator[np.ndarray]:
    """The squares of TILE_PX of a picture, uint8 HxWx3. The last ones end at its border."""
    rows, columns = (
        sorted({*range(0, length - TILE_PX, TILE_PX // 2), length - TILE_PX}) for length in picture.shape[:2]
    )
    for y in rows:
        for x in columns:
            yield picture[y : y + TILE_PX, x : x + TILE_PX]


class Crops:
    """Random crops of scenes and photographs, whose pictures stay on the training's device.

    `refresh` adds the shards that the renderer has written since. Scenes of 512 px teach most, where there are any.
    """

    def __init__(self, scenes: Path, device: torch.device) -> None:
        self.device = device
        self.folders = {scenes: SCENES_SHARE, scenes.with_name(scenes.name + LARGE): LARGE_SHARE}
        self.pictures: dict[Path | None, Tensor] = {}  # uint8 (N, S, S, 3); None: photographs
        self.seen: set[Path] = set()
        if photos := [tile for photo in photographs() for tile in tiles(photo)]:
            self.pictures[None] = torch.from_numpy(np.stack(photos)).to(device)

    def refresh(self) -> None:
        """Read new shards. Raises FileNotFoundError while there is none at all."""
        for folder in self.folders:
            fresh = sorted(set(folder.glob("*.npz")) - self.seen)
            self.seen |= set(fresh)
            new = [torch.from_numpy(np.load(path)["image"]).to(self.device) for path in fresh]
            new = [pictures for pictures in new if len(pictures)]
            if new:
                self.pictures[folder] = torch.cat([*([self.pictures[folder]] if folder in self.pictures else ()), *new])
        if not self.seen:
            hint = "run `python -m training.mini scenes` first"
            raise FileNotFoundError(f"{next(iter(self.folders))} must hold scene shards, got none; {hint}")

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Random crops as the decoder shall give them, and as they are encoded, both float32 in -1..1.

        Returns (count, 3, ENLARGES * CROP_PX, ENLARGES * CROP_PX) and (count, 3, CROP_PX, CROP_PX). Half are mirrored.
        """
        shares = np.array([self.folders.get(folder, PHOTOS_SHARE) for folder in self.pictures])  # type: ignore[arg-type]
        counts = rng.multinomial(count, shares / shares.sum())
        large = torch.cat(
            [self._from(rows, n, rng) for rows, n in zip(self.pictures.values(), counts.tolist(), strict=True)]
        )
        mirrored = torch.from_numpy(rng.random(count) < 0.5).to(self.device)
        large = torch.where(mirrored[:, None, None, None], large.flip(3), large)
        return large, F.avg_pool2d(large, ENLARGES)

    def _from(self, pictures: Tensor, count: int, rng: np.random.Generator) -> Tensor:
        """`count` crops of the pictures (uint8 N, S, S, 3), float32 (count, 3, side, side). Small ones are enlarged."""
        length, side = pictures.shape[1], ENLARGES * CROP_PX
        rows, y, x = (
            torch.from_numpy(rng.integers(0, most, count)).to(self.device)
            for most in (len(pictures), *[max(length - side, 0) + 1] * 2)
        )
        inside = torch.arange(min(side, length), device=self.device)
        taken = pictures[rows[:, None, None], (y[:, None] + inside)[:, :, None], (x[:, None] + inside)[:, None]]
        crops = taken.permute(0, 3, 1, 2).float() / 127.5 - 1
        return crops if length >= side else F.interpolate(crops, (side, side), mode="bicubic").clamp(-1, 1)


def spectra(x: Tensor) -> Tensor:
    """The amplitude spectra of 16 px patches that overlap by half."""
    patches = x.unfold(2, 16, 8).unfold(3, 16, 8)  # (B, 3, n, n, 16, 16)
    amplitudes: Tensor = torch.fft.rfft2(patches, norm="ortho").abs()
    return amplitudes


def loss_of(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss and its metrics. x: original, y: reconstruction, both (B, 3, S, S) in -1..1; z: latents."""
    l1 = (x - y).abs().mean()
    d = y - x
    gradient = (d[..., 1:] - d[..., :-1]).abs().mean() + (d[..., 1:, :] - d[..., :-1, :]).abs().mean()
    texture = (spectra(x) - spectra(y)).abs().mean()
    spread = (z.mean((0, 2, 3)) ** 2).mean() + ((z.std((0, 2, 3)) - 1) ** 2).mean() + 0.1 * F.relu(z.abs() - 3).mean()
    psnr = -10 * torch.log10(((d / 2) ** 2).mean())
    loss = l1 + 0.4 * gradient + TEXTURE * texture + 0.02 * spread
    return loss, {"loss": loss, "l1": l1, "texture": texture, "psnr": psnr}


def train(out: Path, scenes: Path, plan: TrainingOptions) -> nn.Module:
    """Train encoder and decoder, or resume their training. The scenes are read again after every save."""
    run = Run(out, plan.filled(batch=16, lr=1.5e-3, seed=0))
    return _train(run, AutoencoderTiny(**CONFIG), scenes)


def train_decoder(out: Path, vae: Path, scenes: Path, plan: TrainingOptions) -> nn.Module:
    """Train only the decoder further. The latents do not change, so a painter may be trained on them meanwhile."""
    run = Run(out, plan.filled(batch=16, lr=1e-3, seed=3))
    net = load(vae).requires_grad_(True).train()
    net.encoder.requires_grad_(False)
    return _train(run, net, scenes)


def _train(run: Run, net: AutoencoderTiny, scenes: Path) -> nn.Module:
    net.to(run.plan.device, memory_format=torch.channels_last)
    weights = [weight for weight in net.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(weights, lr=run.plan.lr, betas=(0.9, 0.99), fused=True)
    crops = Crops(scenes, run.plan.device)
    crops.refresh()

    def loss() -> Loss:
        x, small = (part.to(memory_format=torch.channels_last) for part in crops.draw(run.plan.batch, run.rng))
        z = net.encode(small).latents
        y = net.decode(z + 0.03 * torch.randn_like(z)).sample
        value, metrics = loss_of(x, y.float(), z.float())
        return Loss(value, len(x), metrics)

    return fit(run, net, optimizer, loss, on_log=crops.refresh)


def load(run: Path) -> AutoencoderTiny:
    """The trained VAE in a run's folder, in eval mode."""
    net = AutoencoderTiny(**CONFIG)
    net.load_state_dict(read_checkpoint(run)["net"])
    return net.eval().requires_grad_(False)


def load_best(runs: Path) -> AutoencoderTiny:
    """The VAE to export: with the decoder of `train_decoder`, when there is one. The latents are the same."""
    return load(runs / "decoder" if (runs / "decoder/checkpoint.pt").exists() else runs / "vae")
