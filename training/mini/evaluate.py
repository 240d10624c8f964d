"""Figures for the model card, on unseen scenes: reconstruction by the VAE, prediction errors of UNet and ControlNet."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import torch
from diffusers import DDIMScheduler
from torch.nn import functional as F

from training.mini import vae as vae_part
from training.mini.data import read_shards, write_shards
from training.mini.latents import Latents
from training.mini.painter import NATIVE_PX, SCHEDULER_CONFIG, Painter, control_from, noised, tokenizer

HELD_OUT_SEED = 950_000


@torch.inference_mode()
def evaluate(runs: Path, images: int = 64, out: Path | None = None) -> dict[str, float]:
    """Measure the trained parts of `runs` on `images` held-out scenes.

    Returns the PSNR of the VAE at the encoded size, the v errors of the background with the right and a wrong
    caption, and the v errors of the product with the right edges, no edges and another product's edges.
    `out` receives them as JSON.
    """
    torch.manual_seed(0)
    vae, net = vae_part.load_best(runs), Painter()
    net.load_state_dict(torch.load(runs / "painter/checkpoint.pt", map_location="cpu", weights_only=True)["ema"])
    control = control_from(net.unet)
    if (runs / "control/checkpoint.pt").exists():
        control.load_state_dict(
            torch.load(runs / "control/checkpoint.pt", map_location="cpu", weights_only=True)["net"]
        )
    with tempfile.TemporaryDirectory() as folder:
        write_shards(Path(folder), images, NATIVE_PX, HELD_OUT_SEED)
        data = Latents(Path(folder), vae, seed=7)
        data.refresh()
        x = torch.from_numpy(read_shards(Path(folder))["image"]).permute(0, 3, 1, 2).float() / 127.5 - 1
    decoded = [vae.decode(vae.encode(part).latents).sample.clamp(-1, 1) for part in x.split(4)]
    y = F.avg_pool2d(torch.cat(decoded), vae_part.ENLARGES)
    out_row = {"vae_psnr_db": float((-10 * torch.log10((((x - y) / 2) ** 2).mean((1, 2, 3)))).mean())}
    kept = DDIMScheduler(**SCHEDULER_CONFIG).alphas_cumprod
    sums: dict[str, list[float]] = {}
    for _ in range(4):
        z, repaint, masked, ids, image = data.draw_controlled(16, tokenizer(), scene_edges=0, hidden=0)
        t = torch.linspace(60, 999, 16).long()
        noisy, target = noised(z, t, kept)
        inputs = torch.cat([noisy, repaint, masked], 1)
        for name, said in (("right_caption", ids), ("wrong_caption", ids.roll(1, 0))):
            error = (net.unet(inputs, t, encoder_hidden_states=net.text(said)[0]).sample - target) ** 2
            sums.setdefault(f"background_{name}", []).append(float((error * repaint).mean() / repaint.mean()))
            if name == "right_caption":
                keep = 1 - repaint
                sums.setdefault("product_no_control", []).append(float((error * keep).mean() / keep.mean()))
        text = net.text(ids)[0]
        for name, seen in (("right_edges", image), ("blank_edges", image * 0), ("wrong_edges", image.roll(1, 0))):
            down, mid = control(noisy, t, encoder_hidden_states=text, controlnet_cond=seen, return_dict=False)
            said = net.unet(
                inputs,
                t,
                encoder_hidden_states=text,
                down_block_additional_residuals=down,
                mid_block_additional_residual=mid,
            ).sample
            sums.setdefault(f"product_{name}", []).append(
                float((((said - target) ** 2) * (1 - repaint)).mean() / (1 - repaint).mean())
            )
            sums.setdefault(f"all_{name}", []).append(float(F.mse_loss(said, target)))
    out_row |= {key: sum(values) / len(values) for key, values in sums.items()}
    out_row = {key: round(value, 4) for key, value in out_row.items()}
    if out:
        out.write_text(json.dumps(out_row, indent=1) + "\n", "utf-8")
    return out_row
