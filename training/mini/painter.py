"""The painter: a tiny CLIP text encoder and an inpainting UNet, trained together on latents of scenes; a ControlNet.

v-prediction, zero terminal SNR, background-weighted loss, 10 % of captions dropped, EMA weights. Most masks are
perturbed (grown, shrunk, with a rim of another picture's background) as a segmenter's masks are. A painter that is
trained only with perfect masks paints a glow around the product.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from diffusers import AutoencoderTiny, ControlNetModel, DDIMScheduler, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModel

from packshot.models.engines.word_tokenizer import WordTokenizer
from training.core.fit import Loss, fit
from training.core.progress import CPU, Run, TrainingOptions, read_checkpoint
from training.mini import vae as vae_part
from training.mini.grow import grown
from training.mini.traced import PREFIX
from training.mini.words import SYNONYMS
from training.mini.words_languages import WORDS
from training.scenes.words import FIELDS, all_words, describe

TEXT_WIDTH, MAX_LENGTH, LATENTS = 96, 24, 8
NATIVE_PX, FACTOR = 256, 8
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
CONTROL_BLOCKS = (8, 16, 32, 48)
EMA = 0.998
WHOLE = 0.6
"""Share of captions that leave nothing out."""
TRACED_SHARE = 0.5
"""Share of path-traced pictures in a batch, where there are any."""


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


def perturb_mask(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Perturb a product mask (bool HxW) like a segmenter: grow it by up to 5 px or shrink it by one, unevenly.

    It is rarely shrunk, because a painter that sees shrunk masks learns to paint more product around them.
    """
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 3.0)
    fray = cv2.GaussianBlur(rng.standard_normal(mask.shape).astype(np.float32), (0, 0), 5.0) * 1.2
    perturbed: np.ndarray = soft > np.clip(0.45 + rng.uniform(-0.38, 0.10) + np.minimum(fray, 0.1), 0.04, 0.96)
    return perturbed


def caption(attributes: Mapping[str, int], rng: np.random.Generator) -> str:
    """The caption of a training sample; empty in one of ten, for classifier-free guidance.

    Most captions are whole. A painter that often sees no word of light learns to take the light from the product.
    """
    return "" if rng.random() < 0.1 else describe(attributes, rng, whole=bool(rng.random() < WHOLE))


class Latents:
    """The training data of the painter: scenes encoded to latents, once per shard.

    `refresh` adds the shards that the renderer has written since. `vae` encodes the pictures on `device`.
    """

    def __init__(
        self, scenes: Path, vae: AutoencoderTiny, seed: int | np.random.Generator, device: torch.device = CPU
    ) -> None:
        self.folder, self.vae, self.rng, self.device = scenes, vae.to(device), np.random.default_rng(seed), device
        self.seen: set[str] = set()
        # torch.cat skips tensors of shape (0,), so the first shard determines the size of the pictures.
        self.z = torch.empty(0, device=device)
        self.masked, self.repaint = self.z, self.z  # for the exact and for the perturbed mask
        self.edges = torch.empty(0, dtype=torch.uint8, device=device)
        self.attributes = np.empty((0, len(FIELDS)), np.int64)
        self.traced = np.empty(0, bool)

    def refresh(self, at_most: int = 1 << 30) -> None:
        """Encode new shards, oldest first, at most `at_most` of them."""
        fresh = [
            p for p in sorted(self.folder.glob("*.npz"), key=lambda p: p.stat().st_mtime) if p.name not in self.seen
        ]
        for path in fresh[:at_most]:
            with np.load(path) as shard:
                count = len(shard["image"])
                if count:
                    self._add(shard["image"], shard["mask"], shard["edges"], shard["attributes"])
                self.traced = np.append(self.traced, np.full(count, path.name.startswith(PREFIX)))
            self.seen.add(path.name)

    @torch.inference_mode()
    def _encode(self, pictures: np.ndarray) -> Tensor:
        x = torch.from_numpy(pictures).to(self.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        latents: Tensor = self.vae.encode(x).latents
        return latents

    def _add(self, image: np.ndarray, mask: np.ndarray, edges: np.ndarray, attributes: np.ndarray) -> None:
        flip = self.rng.random(len(image)) < 0.5
        image, mask, edges, attributes = image.copy(), mask.copy(), edges.copy(), attributes.copy()
        for rows in (image, mask, edges):
            rows[flip] = rows[flip][:, :, ::-1]
        side = FIELDS.index("side")
        attributes[flip, side] = 1 - attributes[flip, side]
        products, repaints, perturbed_edges = [], [], []
        other = image[self.rng.permutation(len(image))]
        for i, m in enumerate(mask):
            perturbed = perturb_mask(m >= 128, self.rng)
            alpha = m[..., None].astype(np.float32) / 255
            # Outside the product's true border, a grown mask shows the background of the photo that it was cut from.
            pasted = (image[i] * alpha + other[i] * (1 - alpha)).round().astype(np.uint8)
            for keep, picture in ((m >= 128, image[i]), (perturbed, pasted)):
                repaints.append(~keep)
                products.append(picture.astype(np.float32) * keep[..., None] + 127.5 * ~keep[..., None])
            near_mask = cv2.dilate(perturbed.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
            perturbed_edges.append(np.where(near_mask, edges[i], 0))
        count = len(image)
        repaint = torch.from_numpy(np.stack(repaints)[:, ::FACTOR, ::FACTOR]).to(self.device).float()
        self.z = torch.cat([self.z, self._encode(image.astype(np.float32))])
        self.masked = torch.cat([self.masked, self._encode(np.stack(products)).unflatten(0, (count, 2))])
        self.repaint = torch.cat([self.repaint, repaint.unflatten(0, (count, 2))])
        both = torch.from_numpy(np.stack([edges, np.stack(perturbed_edges)], 1))
        self.edges = torch.cat([self.edges, both.to(self.device)])
        self.attributes = np.concatenate([self.attributes, attributes])

    def _rows(self, count: int) -> np.ndarray:
        """Random rows: drawn and path-traced ones by TRACED_SHARE, whatever their numbers are."""
        drawn, traced = np.flatnonzero(~self.traced), np.flatnonzero(self.traced)
        if not len(drawn) or not len(traced):
            return self.rng.integers(0, len(self.z), count)
        rows: np.ndarray = np.where(
            self.rng.random(count) < TRACED_SHARE, self.rng.choice(traced, count), self.rng.choice(drawn, count)
        )
        return rows

    def draw(self, count: int, words: WordTokenizer) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Draw a batch of `count` samples at random. With s = S / 8, it returns:

        z (B, c, s, s), repaint (B, 1, s, s), masked (B, c, s, s), edges uint8 (B, S, S), token ids (B, L).
        """
        rows = self._rows(count)
        kind = (self.rng.random(count) < 0.6).astype(np.int64)
        texts = [caption(dict(zip(FIELDS, self.attributes[r].tolist(), strict=True)), self.rng) for r in rows]
        at, k = torch.from_numpy(rows).to(self.device), torch.from_numpy(kind).to(self.device)
        return (
            self.z[at],
            self.repaint[at, k][:, None],
            self.masked[at, k],
            self.edges[at, k],
            torch.from_numpy(words(texts)).to(self.device),
        )


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
        z, repaint, masked, _, ids = data.draw(batch, words)
        t = timesteps(batch, len(kept), device)
        x, target = noised(z, t, kept)
        value, background = loss_of(net(x, t, repaint, masked, ids).float(), target, repaint)
        return Loss(value, batch, {"loss": value, "background": background})

    return fit(run, net, optimizer, loss, ema=EMA, on_log=lambda: data.refresh(at_most=2))


def train_control(out: Path, painter: Path, vae: Path, scenes: Path, plan: TrainingOptions) -> nn.Module:
    """Train a ControlNet from the painter's EMA weights, or resume its training. Product and background count equally.

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
        z, repaint, masked, edges, ids = data.draw(batch, words)
        t = timesteps(batch, len(kept), device)
        x, target = noised(z, t, kept)
        image = edges[:, None].float().expand(-1, 3, -1, -1) / 255
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
        "conditioning_channels": 3,
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
