"""The VAE: an AutoencoderTiny with 8 latent channels at 1/8 resolution, trained on crops of scenes and photographs.

The loss has three terms: L1 for colour, L1 of the gradients for edges, and the difference of the amplitude spectra of
16 px patches for texture, which penalises blur. A regulariser keeps the latents near zero mean and unit variance, so
that scaling_factor is 1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import skimage.data
import torch
from diffusers import AutoencoderTiny
from torch import Tensor, nn
from torch.nn import functional as F

from training.core.fit import Loss, fit
from training.core.progress import Run, TrainingOptions, read_checkpoint
from training.mini.data import read_shards

CHANNELS = 32
CONFIG = {
    "latent_channels": 8,
    "encoder_block_out_channels": [CHANNELS] * 4,
    "decoder_block_out_channels": [CHANNELS] * 4,
    "num_encoder_blocks": [0, 1, 2, 3],
    "num_decoder_blocks": [3, 2, 1, 0],
    "scaling_factor": 1.0,
}
CROP_PX = 64


def photographs() -> list[np.ndarray]:
    """The real photographs of scikit-image's wheel: uint8 HxWx3, longest side about 256 px."""
    import cv2

    out = []
    for name in ("coffee", "chelsea", "astronaut", "rocket", "brick", "grass", "gravel"):
        try:
            picture = getattr(skimage.data, name)()
        except (OSError, ModuleNotFoundError, ValueError):  # some need a download
            continue
        picture = np.repeat(picture[..., None], 3, 2) if picture.ndim == 2 else picture[..., :3]
        scale = 256 / max(picture.shape[:2])
        out.append(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    return out


def crops(scenes: np.ndarray, photos: list[np.ndarray], count: int, rng: np.random.Generator) -> Tensor:
    """Random crops, float32 (count, 3, CROP_PX, CROP_PX) in -1..1: four fifths of scenes, one fifth of photographs.

    Half of them are mirrored.
    """
    out = np.empty((count, CROP_PX, CROP_PX, 3), np.uint8)
    for i in range(count):
        picture = (
            photos[rng.integers(len(photos))] if photos and rng.random() < 0.2 else scenes[rng.integers(len(scenes))]
        )
        y, x = (int(rng.integers(0, side - CROP_PX + 1)) for side in picture.shape[:2])
        crop = picture[y : y + CROP_PX, x : x + CROP_PX]
        out[i] = crop[:, ::-1] if rng.random() < 0.5 else crop
    return torch.from_numpy(out).permute(0, 3, 1, 2).float() / 127.5 - 1


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
    loss = l1 + 0.4 * gradient + 0.35 * texture + 0.02 * spread
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
    photos = photographs()
    pictures = read_shards(scenes, columns=["image"])["image"]

    def loss() -> Loss:
        x = crops(pictures, photos, run.plan.batch, run.rng).to(net.device, memory_format=torch.channels_last)
        z = net.encode(x).latents
        y = net.decode(z + 0.03 * torch.randn_like(z)).sample
        value, metrics = loss_of(x, y.float(), z.float())
        return Loss(value, len(x), metrics)

    def read_again() -> None:
        nonlocal pictures
        pictures = read_shards(scenes, columns=["image"])["image"]

    return fit(run, net, optimizer, loss, on_save=read_again)


def load(run: Path) -> AutoencoderTiny:
    """The trained VAE in a run's folder, in eval mode."""
    net = AutoencoderTiny(**CONFIG)
    net.load_state_dict(read_checkpoint(run)["net"])
    return net.eval().requires_grad_(False)


def load_best(runs: Path) -> AutoencoderTiny:
    """The VAE to export: with the decoder of `train_decoder`, when there is one. The latents are the same."""
    return load(runs / "decoder" if (runs / "decoder/checkpoint.pt").exists() else runs / "vae")
