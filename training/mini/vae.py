"""The VAE: an AutoencoderTiny with 8 latent channels at 1/8 resolution, trained on crops of scenes and photographs.

The loss has three terms: L1 for colour, L1 of the gradients for edges, and the difference of the amplitude spectra of
16 px patches for texture, which penalises blur. A regulariser keeps the latents near zero mean and unit variance, so
that scaling_factor is 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import skimage.data
import torch
from diffusers import AutoencoderTiny
from torch import Tensor, nn
from torch.nn import functional as F

from packshot.training.fit import Loss, fit
from packshot.training.progress import Run, TrainingOptions, read_checkpoint
from training.mini.data import read_shards

CHANNELS = 32
ENLARGES = 2
"""How many times larger a decoded picture is than the encoded one, on each side."""
CONFIG = {
    "latent_channels": 8,
    "encoder_block_out_channels": [CHANNELS] * 4,
    "decoder_block_out_channels": [CHANNELS] * 5,
    "num_encoder_blocks": [0, 1, 2, 3],
    "num_decoder_blocks": [3, 2, 1, 1, 0],
    "scaling_factor": 1.0,
}
CROP_PX = 64
"""The side of an encoded crop. Its decoded picture is ENLARGES times as large."""
TEXTURE = 0.6
"""The weight of the spectra's difference. What cannot be known at the decoded size must still have its contrast."""
OFFSET = 1.25
"""Larger than nearly all features of a trained decoder's last level, which are positive with it."""
LARGE = "-512"
"""Scenes of 512 px stand in a folder of this suffix beside the scenes, where there are any."""


Source = tuple[float, np.ndarray | list[np.ndarray]]
"""A weight, and pictures: uint8 HxWx3, or NxHxWx3 of equal size."""


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


def sources(scenes: Path) -> list[Source]:
    """Where crops come from.

    Scenes of 512 px teach most. Scenes of the painter's size and photographs teach texture.
    """
    large = scenes.with_name(scenes.name + LARGE)
    found: list[Source] = [(0.3, read_shards(scenes, columns=["image"])["image"])]
    if large.exists():
        found.append((0.4, read_shards(large, columns=["image"])["image"]))
    if photos := photographs():
        found.append((0.3, photos))
    return found


def crops(pictures: list[Source], count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Random crops as the decoder shall give them, and as they are encoded, both float32 in -1..1.

    Returns (count, 3, ENLARGES * CROP_PX, ENLARGES * CROP_PX) and (count, 3, CROP_PX, CROP_PX). Half are mirrored.
    """
    side = ENLARGES * CROP_PX
    weights = np.array([weight for weight, _ in pictures])
    out = np.empty((count, side, side, 3), np.uint8)
    for i, source in enumerate(rng.choice(len(pictures), count, p=weights / weights.sum())):
        picture = pictures[source][1][rng.integers(len(pictures[source][1]))]
        short = min(picture.shape[:2])
        if short < side:
            picture = cv2.resize(picture, None, fx=side / short, fy=side / short, interpolation=cv2.INTER_CUBIC)
        y, x = (int(rng.integers(0, length - side + 1)) for length in picture.shape[:2])
        crop = picture[y : y + side, x : x + side]
        out[i] = crop[:, ::-1] if rng.random() < 0.5 else crop
    large = torch.from_numpy(out).permute(0, 3, 1, 2).float() / 127.5 - 1
    return large, F.avg_pool2d(large, ENLARGES)


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
    pictures = sources(scenes)

    def loss() -> Loss:
        x, small = (
            part.to(net.device, memory_format=torch.channels_last) for part in crops(pictures, run.plan.batch, run.rng)
        )
        z = net.encode(small).latents
        y = net.decode(z + 0.03 * torch.randn_like(z)).sample
        value, metrics = loss_of(x, y.float(), z.float())
        return Loss(value, len(x), metrics)

    def read_again() -> None:
        nonlocal pictures
        pictures = sources(scenes)

    return fit(run, net, optimizer, loss, on_save=read_again)


def doubled(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a VAE whose decoder gives the encoded size, with a fresh level behind it; others as they are.

    At first the new level only enlarges. Its block would cut off negative features, so it adds OFFSET to all of them,
    which the last layer takes away again. The convolution after the enlargement is a binomial blur.
    """
    last, block, enlarged, new_last = (f"decoder.layers.{n}" for n in (14, 14, 16, 17))
    if f"{last}.bias" not in state:
        return dict(state)
    out = {name: value for name, value in state.items() if not name.startswith(f"{last}.")}
    fresh = AutoencoderTiny(**CONFIG).state_dict()
    out |= {name: value for name, value in fresh.items() if name.startswith(f"{block}.")}
    out[f"{block}.conv.4.weight"] = out[f"{block}.conv.4.weight"] * 0.05
    out[f"{block}.conv.4.bias"] = torch.full((CHANNELS,), OFFSET)
    line = torch.tensor([0.25, 0.5, 0.25])
    out[f"{enlarged}.weight"] = torch.eye(CHANNELS)[:, :, None, None] * (line[:, None] * line[None])
    weight, bias = state[f"{last}.weight"], state[f"{last}.bias"]
    return out | {f"{new_last}.weight": weight, f"{new_last}.bias": bias - OFFSET * weight.sum((1, 2, 3))}


def load(run: Path) -> AutoencoderTiny:
    """The trained VAE in a run's folder, in eval mode."""
    net = AutoencoderTiny(**CONFIG)
    net.load_state_dict(doubled(read_checkpoint(run)["net"]))
    return net.eval().requires_grad_(False)


def load_best(runs: Path) -> AutoencoderTiny:
    """The VAE to export: with the decoder of `train_decoder`, when there is one. The latents are the same."""
    return load(runs / "decoder" if (runs / "decoder/checkpoint.pt").exists() else runs / "vae")
