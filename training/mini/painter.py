"""The painter: a tiny CLIP text encoder and an inpainting UNet, trained together on latents of scenes; a ControlNet.

v-prediction, zero terminal SNR, background-weighted loss, 10 % of captions dropped, EMA weights. Their data are
`training.mini.latents`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel, DDIMScheduler, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModel

from packshot.models.engines.word_tokenizer import WordTokenizer
from packshot.training.fit import Loss, fit
from packshot.training.progress import Run, TrainingOptions, read_checkpoint
from training.mini import vae as vae_part
from training.mini.grow import grown
from training.mini.latents import Latents
from training.mini.words import SYNONYMS
from training.mini.words_languages import WORDS
from training.scenes.words import all_words

TEXT_WIDTH, MAX_LENGTH, LATENTS = 96, 24, 8
NATIVE_PX = 256
SCHEDULER_CONFIG = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
    "clip_sample": False,
}
UNET_CONFIG: dict[str, Any] = {
    "in_channels": 2 * LATENTS + 1,
    "out_channels": LATENTS,
    "block_out_channels": [64, 64, 128, 160],
    "layers_per_block": 1,
    "down_block_types": ["DownBlock2D", "DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D", "UpBlock2D"],
    "attention_head_dim": 4,
    "norm_num_groups": 16,
    "cross_attention_dim": TEXT_WIDTH,
    # Every block receives the whole caption through the time embedding, so only the coarsest level needs attention.
    "addition_embed_type": "text",
    "addition_embed_type_num_heads": 4,
    "resnet_time_scale_shift": "scale_shift",
}
CONTROL_CHANNELS = ("canny", "product")
"""What the ControlNet sees at the picture's size. The UNet sees the product's mask at the latents' size only."""
DEPTH_CHANNELS = ("depth", "product")
"""What the ControlNet of depth sees."""
CONTROL_BLOCKS = (8, 16, 32, 48)
EMA = 0.998


def tokenizer() -> WordTokenizer:
    """The pack's tokenizer: the closed vocabulary of the scenes, with synonyms for words that people use."""
    return WordTokenizer({word: 3 + i for i, word in enumerate(all_words())}, {**WORDS, **SYNONYMS}, MAX_LENGTH)


def text_config() -> dict[str, Any]:
    """Constructor arguments of the text encoder."""
    return {
        "vocab_size": tokenizer().vocab_size,
        "hidden_size": TEXT_WIDTH,
        "intermediate_size": 2 * TEXT_WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": MAX_LENGTH,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 0,
        "projection_dim": TEXT_WIDTH,
    }


def timesteps(count: int, of: int, device: torch.device) -> Tensor:
    """A random timestep (int64, 0..of - 1) from each of `count` equal intervals.

    Stratified timesteps give a batch's loss a lower variance than independent ones.
    """
    share = (torch.arange(count, device=device) + torch.rand(count, device=device)) / count
    return (share * of).long().clamp(max=of - 1)


def noised(z: Tensor, t: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """The noised latents at timesteps t, and their v targets. `kept` is alphas_cumprod."""
    noise = torch.randn_like(z)
    a, s = kept[t].sqrt()[:, None, None, None], (1 - kept[t]).sqrt()[:, None, None, None]
    return a * z + s * noise, a * noise - s * z


def loss_of(prediction: Tensor, target: Tensor, repaint: Tensor) -> tuple[Tensor, Tensor]:
    """The squared error, weighted over the picture (background 1, product 0.25), and its mean over the background."""
    error = (prediction - target) ** 2
    weight = 0.25 + 0.75 * F.max_pool2d(repaint, 3, 1, 1)
    return (error * weight).mean() / weight.mean(), (error * repaint).mean() / repaint.mean().clamp_min(1e-6)


class Painter(nn.Module):
    """The text encoder and the UNet as one module."""

    def __init__(self) -> None:
        super().__init__()
        self.text = CLIPTextModel(CLIPTextConfig(**text_config()))
        self.unet = UNet2DConditionModel(**UNET_CONFIG)

    def forward(self, x: Tensor, t: Tensor, repaint: Tensor, masked: Tensor, ids: Tensor, **residuals: Any) -> Tensor:
        out: Tensor = self.unet(
            torch.cat([x, repaint, masked], 1), t, encoder_hidden_states=self.text(ids)[0], **residuals
        ).sample
        return out


def train(out: Path, vae: Path, scenes: Path, plan: TrainingOptions, core: Path | None = None) -> nn.Module:
    """Train text encoder and UNet with averaged weights, or resume their training.

    `core` is a folder with the checkpoint and words.json of a painter of half the size, from which the weights start
    (`training.mini.grow`).
    """
    run = Run(out, plan.filled(batch=32, lr=8e-4, seed=0))
    device, batch = run.plan.device, run.plan.batch
    words, kept = tokenizer(), DDIMScheduler(**SCHEDULER_CONFIG).alphas_cumprod.to(device)
    net = Painter()
    if core:
        trained = read_checkpoint(core)["ema"]
        net.load_state_dict(grown(net.state_dict(), trained, words.vocab, WordTokenizer.from_files(core).vocab))
    net.to(device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=run.plan.lr, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    data = Latents(scenes, vae_part.load(vae), run.rng, device)
    data.refresh()

    def loss() -> Loss:
        z, repaint, masked, ids = data.draw(batch, words)
        t = timesteps(batch, len(kept), device)
        x, target = noised(z, t, kept)
        value, background = loss_of(net(x, t, repaint, masked, ids).float(), target, repaint)
        return Loss(value, batch, {"loss": value, "background": background})

    return fit(run, net, optimizer, loss, ema=EMA, on_log=lambda: data.refresh(at_most=2))


def train_depth(out: Path, painter: Path, vae: Path, scenes: Path, plan: TrainingOptions) -> nn.Module:
    """Train a ControlNet that sees the product's depth instead of its edges; otherwise as `train_control`."""
    return train_control(out, painter, vae, scenes, plan, depth=True)


def train_control(
    out: Path, painter: Path, vae: Path, scenes: Path, plan: TrainingOptions, *, depth: bool = False
) -> nn.Module:
    """Train a ControlNet from the painter's EMA weights, or resume its training. Product and background count equally.

    The painter sees the product itself, so that the product's edges tell it nothing new. In some samples the product is
    therefore hidden from it, and in some the edges are the whole scene's: both must then come from the ControlNet.

    The painter's weights are frozen, but its checkpoint is read again after every save, so that both may train at the
    same time towards the end.
    """
    run = Run(out, plan.filled(batch=32, lr=6e-4, seed=1))
    device, batch = run.plan.device, run.plan.batch
    words, kept = tokenizer(), DDIMScheduler(**SCHEDULER_CONFIG).alphas_cumprod.to(device)
    net = Painter().to(device).requires_grad_(False)

    def read_painter() -> None:
        net.load_state_dict(read_checkpoint(painter)["ema"])

    read_painter()
    control = control_from(net.unet).to(device)
    optimizer = torch.optim.AdamW(control.parameters(), lr=run.plan.lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    data = Latents(scenes, vae_part.load(vae), run.rng, device)
    data.refresh()

    def loss() -> Loss:
        z, repaint, masked, ids, image = data.draw_controlled(batch, words, depth=depth)
        t = timesteps(batch, len(kept), device)
        x, target = noised(z, t, kept)
        with torch.no_grad():
            text = net.text(ids)[0]
        down, mid = control(x, t, encoder_hidden_states=text, controlnet_cond=image, return_dict=False)
        residuals = {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}
        prediction = net.unet(torch.cat([x, repaint, masked], 1), t, encoder_hidden_states=text, **residuals).sample
        value = F.mse_loss(prediction.float(), target)
        return Loss(value, batch, {"loss": value})

    return fit(run, control, optimizer, loss, on_save=read_painter)


def control_config() -> dict[str, Any]:
    """Constructor arguments of the ControlNet.

    They are the UNet's, but the input has only the noisy latents, and the condition embedding is small.
    """
    shared = {k: v for k, v in UNET_CONFIG.items() if k not in ("in_channels", "out_channels", "up_block_types")}
    return {
        **shared,
        "in_channels": LATENTS,
        "conditioning_channels": len(CONTROL_CHANNELS),
        "conditioning_embedding_out_channels": list(CONTROL_BLOCKS),
    }


def control_from(unet: UNet2DConditionModel) -> ControlNetModel:
    """A ControlNet that is initialised from the UNet's encoder, with zero outputs."""
    control = ControlNetModel(**control_config())
    own, theirs = control.state_dict(), unet.state_dict()
    taken = {k: theirs[k] for k in own if k in theirs and theirs[k].shape == own[k].shape}
    taken["conv_in.weight"], taken["conv_in.bias"] = theirs["conv_in.weight"][:, :LATENTS], theirs["conv_in.bias"]
    control.load_state_dict({**own, **taken})
    # With torch's default initialisation the edges' signal vanishes over the embedding's eight convolutions (1e-6 after
    # a short training), so an initialisation that keeps the variance is used. The zero convolutions behind it still
    # give a fresh ControlNet zero outputs.
    embedding = control.controlnet_cond_embedding
    for conv in (embedding.conv_in, *embedding.blocks, embedding.conv_out):
        torch.nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        torch.nn.init.zeros_(conv.bias)
    return control
