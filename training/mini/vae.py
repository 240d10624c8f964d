"""The VAE: f8, 8 channels, AutoencoderTiny, on crops of scenes and of real photographs.

The loss keeps grain: L1 for colour, L1 of gradients for edges, and the amplitudes of 16 px patches' spectra for texture,
which a blurred reconstruction cannot fake. The latents are held near zero mean and unit variance, so that
scaling_factor is 1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import skimage.data
import torch
from diffusers import AutoencoderTiny
from torch import Tensor
from torch.nn import functional as F

from training.mini.data import read_shards
from training.mini.progress import Run

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
CPU = torch.device("cpu")


def photographs() -> list[np.ndarray]:
    """Real photographs that scikit-image carries in its wheel: uint8 HxWx3, longest side about 256 px."""
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
    """float32 count x 3 x CROP_PX x CROP_PX, -1..1: four fifths of scenes, the rest of photographs, mirrored at random."""
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
    """Amplitudes of 16 px patches' spectra, half overlapping."""
    patches = x.unfold(2, 16, 8).unfold(3, 16, 8)  # (B, 3, n, n, 16, 16)
    return torch.fft.rfft2(patches, norm="ortho").abs()


def loss_of(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, dict[str, float]]:
    """x: truth, y: reconstruction (B, 3, S, S), -1..1; z: latents."""
    l1 = (x - y).abs().mean()
    d = y - x
    gradient = (d[..., 1:] - d[..., :-1]).abs().mean() + (d[..., 1:, :] - d[..., :-1, :]).abs().mean()
    texture = (spectra(x) - spectra(y)).abs().mean()
    spread = (z.mean((0, 2, 3)) ** 2).mean() + ((z.std((0, 2, 3)) - 1) ** 2).mean() + 0.1 * F.relu(z.abs() - 3).mean()
    psnr = -10 * torch.log10(((d / 2) ** 2).mean())
    return l1 + 0.4 * gradient + 0.35 * texture + 0.02 * spread, {
        "l1": float(l1.detach()),
        "texture": float(texture.detach()),
        "psnr": float(psnr.detach()),
    }


def train(
    out: Path,
    scenes: Path,
    minutes: float,
    batch: int = 16,
    lr: float = 1.5e-3,
    seed: int = 0,
    device: torch.device = CPU,
) -> None:
    """Train for `minutes`; go on from out/checkpoint.pt when there is one. Re-reads the scenes as more are drawn."""
    torch.manual_seed(seed)
    _fit(AutoencoderTiny(**CONFIG).to(device), out, scenes, minutes, batch, lr, seed, frozen_encoder=False)


def train_decoder(
    out: Path,
    vae: Path,
    scenes: Path,
    minutes: float,
    batch: int = 16,
    lr: float = 1e-3,
    seed: int = 3,
    device: torch.device = CPU,
) -> None:
    """Train the decoder on, the latents staying what they are: so it may run while a painter learns them."""
    torch.manual_seed(seed)
    net = AutoencoderTiny(**CONFIG)
    net.load_state_dict(torch.load(vae / "checkpoint.pt", map_location="cpu", weights_only=True)["net"])
    _fit(net.to(device), out, scenes, minutes, batch, lr, seed, frozen_encoder=True)


def _fit(
    net: AutoencoderTiny,
    out: Path,
    scenes: Path,
    minutes: float,
    batch: int,
    lr: float,
    seed: int,
    *,
    frozen_encoder: bool,
) -> None:
    rng = np.random.default_rng(seed)
    net.to(memory_format=torch.channels_last)
    net.encoder.requires_grad_(not frozen_encoder)
    weights = [weight for weight in net.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(weights, lr=lr, betas=(0.9, 0.99), fused=True)
    run = Run(out, minutes, lr)
    if state := run.resume():
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
    pictures, photos = read_shards(scenes, columns=["image"])["image"], photographs()
    while run.going:
        for group in optimizer.param_groups:
            group["lr"] = run.rate()
        x = crops(pictures, photos, batch, rng).to(net.device, memory_format=torch.channels_last)
        z = net.encode(x).latents
        loss, metrics = loss_of(x, net.decode(z + 0.03 * torch.randn_like(z)).sample, z)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        run.tick(batch, metrics)
        if run.checkpoint_due:
            run.save({"net": net.state_dict(), "optimizer": optimizer.state_dict()})
            pictures = read_shards(scenes, columns=["image"])["image"]
    run.save({"net": net.state_dict(), "optimizer": optimizer.state_dict()})


def load(run: Path) -> AutoencoderTiny:
    """The trained VAE of a run's folder, in eval mode."""
    net = AutoencoderTiny(**CONFIG)
    net.load_state_dict(torch.load(run / "checkpoint.pt", map_location="cpu", weights_only=True)["net"])
    return net.eval().requires_grad_(False)


def load_best(runs: Path) -> AutoencoderTiny:
    """The VAE that ships: with the decoder that was trained on, when there is one. Its latents are the same."""
    return load(runs / "decoder" if (runs / "decoder/checkpoint.pt").exists() else runs / "vae")
