"""The embedded pack's reference pictures: an image encoder, and an IP-Adapter for the painter's UNet.

The encoder learns from two tasks at once. From a scene's picture it must find the vector that the scene's whole caption
gives the UNet, and its colours. And the painter, which is frozen, must paint one picture of a scene from another one of
the same scene with another product (`training.scenes.render` with `alike`). The second task also trains the adapter's
attentions. It is the dear one, so it begins after the first WORDS_SHARE of the training and takes few pictures a step.

python -m training.mini.reference runs/reference --ship packshot/packs/mini   # write the roles into a pack
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml
from diffusers import AutoencoderTiny, DDIMScheduler
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from packshot.models.engines.references import GuidedAttentions, RowGuides
from packshot.models.engines.word_tokenizer import WordTokenizer
from packshot.models.references.adapter import IPAdapter
from packshot.models.references.scene_encoder import SceneEncoder
from packshot.training.fit import Loss, fit
from packshot.training.progress import Run, TrainingOptions, read_checkpoint
from training.mini import vae as vae_part
from training.mini.judge import degraded
from training.mini.latents import FACTOR, perturb_mask
from training.mini.painter import (
    EMA,
    NATIVE_PX,
    SCHEDULER_CONFIG,
    TEXT_WIDTH,
    UNET_CONFIG,
    Painter,
    loss_of,
    noised,
    timesteps,
    tokenizer,
)
from training.mini.roles import ship
from training.scenes.words import FIELDS, describe, in_full

DIM, TOKENS, SIZE_PX = 256, 4, 128
ALIKE = 2
"""Neighbours that show one scene."""
POOLED_DIM = 4 * UNET_CONFIG["block_out_channels"][0]
"""The length of the UNet's time embedding."""
ENCODER_CONFIG: dict[str, Any] = {"size_px": SIZE_PX, "dim": DIM}
ADAPTER_CONFIG: dict[str, Any] = {
    "image_dim": DIM,
    "text_dim": TEXT_WIDTH,
    "attentions": [[UNET_CONFIG["block_out_channels"][-1], 4]],
    "tokens": TOKENS,
    "pooled_dim": POOLED_DIM,
}
WORDS_SHARE = 0.5
"""The first part of the training, in which the painter takes no part."""
UNSAID, UNGUIDED = 0.5, 0.1
"""The shares of paintings without a caption, and without a reference, which guidance needs."""
SEEN_AT_ONCE, COLOURS = 32, 6
"""The pictures that the encoder reads in a step, and the colours' values."""
SIDE = FIELDS.index("side")


class Reference(nn.Module):
    """The encoder and the adapter as one module. `colours` reads the mean colours off a vector; it is not exported."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = SceneEncoder(**ENCODER_CONFIG)
        self.adapter = IPAdapter(**ADAPTER_CONFIG)
        self.colours = nn.Linear(DIM, COLOURS)
        for name, weight in self.adapter.named_parameters():
            if "to_v_ip" in name:
                nn.init.zeros_(weight)  # a fresh adapter changes nothing


class Pairs:
    """Pictures of scenes, of which ALIKE neighbours show one scene, and the painter's latents of those that it paints.

    The encoder sees all pictures, at its own size. The painter paints those of NATIVE_PX. `refresh` adds the shards
    that the renderer has written since.
    """

    def __init__(self, folder: Path, vae: AutoencoderTiny, rng: np.random.Generator, device: torch.device) -> None:
        self.folder, self.vae, self.rng, self.device = folder, vae.to(device), rng, device
        self.image = np.empty((0, SIZE_PX, SIZE_PX, 3), np.uint8)
        self.attributes = np.empty((0, len(FIELDS)), np.int64)
        self._native: dict[int, tuple[NDArray[np.uint8], NDArray[np.uint8]]] = {}
        self._seen: set[str] = set()
        self._latents: dict[int, tuple[Tensor, Tensor, Tensor]] = {}

    def refresh(self) -> None:
        """Read new shards. Raises FileNotFoundError when there is none of NATIVE_PX."""
        for path in sorted(self.folder.glob("*.npz")):
            if path.name in self._seen:
                continue
            self._seen.add(path.name)
            with np.load(path) as shard:
                image, mask, attributes = shard["image"], shard["mask"], shard["attributes"]
            if image.shape[1] == NATIVE_PX:
                self._native |= {len(self.image) + i: pair for i, pair in enumerate(zip(image, mask, strict=True))}
            small = [cv2.resize(one, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA) for one in image]
            self.image = np.concatenate([self.image, np.asarray(small, np.uint8)])
            self.attributes = np.concatenate([self.attributes, attributes])
        if not self._native:
            hint = "run `python -m training.mini alike` first"
            raise FileNotFoundError(f"{self.folder} must hold shards of {NATIVE_PX} px, got none; {hint}")

    def seen(self, count: int) -> tuple[Tensor, NDArray[np.int64]]:
        """`count` pictures (B, 3, S, S), -1..1, and their attributes. Half of them are mirrored, with their light."""
        rows = self.rng.integers(0, len(self.image), count)
        pictures, attributes = self.pictures(rows), self.attributes[rows].copy()
        flip = self.rng.random(count) < 0.5
        pictures[flip] = pictures[flip].flip(3)
        attributes[flip, SIDE] = 1 - attributes[flip, SIDE]
        return pictures, attributes

    def pictures(self, rows: NDArray[np.int64]) -> Tensor:
        """The pictures (B, 3, S, S) of these rows, -1..1."""
        return _unit(self.image[rows], self.device)

    def pairs(self, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """`count` rows to paint, and for each another row of its scene."""
        painted = self.rng.choice(np.array(list(self._native)), count)
        step = self.rng.integers(1, ALIKE, count)
        return painted, painted // ALIKE * ALIKE + (painted + step) % ALIKE

    @torch.no_grad()
    def latents(self, row: int) -> tuple[Tensor, Tensor, Tensor]:
        """What the painter sees of a row: z and masked (1, c, s, s), and repaint (1, 1, s, s). Made once."""
        if row not in self._latents:
            image, mask = self._native[row]
            keep = torch.from_numpy(perturb_mask(mask >= 128, self.rng)).to(self.device)
            picture = _unit(image[None], self.device)
            z, masked = self.vae.encode(torch.cat([picture, picture * keep])).latents.split(1)
            self._latents[row] = z, masked, (~keep)[None, None, ::FACTOR, ::FACTOR].float()
        return self._latents[row]


def _unit(pictures: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Pictures (uint8 NxHxWx3) as (N, 3, H, W) in -1..1."""
    return torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


def _blocks_of(judge: dict[str, Tensor]) -> dict[str, Tensor]:
    """The blocks of a judge's state for an encoder that sees no mask."""
    blocks = {name.removeprefix("blocks."): value for name, value in judge.items() if name.startswith("blocks.")}
    return blocks | {name: blocks[name][:, :3] for name in ("0.first.weight", "0.short.weight")}


def mean_colours(pictures: Tensor) -> Tensor:
    """The mean RGB of the upper and the lower half, (B, COLOURS), -1..1."""
    return torch.cat([half.mean((2, 3)) for half in pictures.split(pictures.shape[2] // 2, 2)], 1)


def pooled_words(painter: Painter, attributes: NDArray[np.int64], words: WordTokenizer) -> Tensor:
    """The vectors (B, P) that the scenes' whole captions give the UNet."""
    texts = [in_full(dict(zip(FIELDS, row.tolist(), strict=True))) for row in attributes]
    device = next(painter.parameters()).device
    with torch.no_grad():
        out: Tensor = painter.unet.add_embedding(painter.text(torch.from_numpy(words(texts)).to(device))[0])
    return out


def train(out: Path, painter: Path, judge: Path, vae: Path, alike: Path, plan: TrainingOptions) -> nn.Module:
    """Train the encoder and the adapter, or resume their training. The encoder starts from the judge's blocks.

    `batch` is the number of pictures that the painter paints in a step.
    """
    run = Run(out, plan.filled(batch=4, lr=1e-3, seed=7))
    device, batch, rng = run.plan.device, run.plan.batch, run.rng
    words, kept = tokenizer(), DDIMScheduler(**SCHEDULER_CONFIG).alphas_cumprod.to(device)
    net, frozen = Reference(), Painter().requires_grad_(False)
    net.encoder.blocks.load_state_dict(_blocks_of(read_checkpoint(judge)["net"]))
    frozen.load_state_dict(read_checkpoint(painter)["ema"])
    net.to(device).encoder.to(memory_format=torch.channels_last)
    frozen.to(device)
    for module in net.encoder.modules():  # a batch of few pictures has no statistics of its own
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    guided = GuidedAttentions(frozen.unet, net.adapter)
    optimizer = torch.optim.AdamW(net.parameters(), lr=run.plan.lr, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    data = Pairs(alike, vae_part.load(vae), rng, device)
    data.refresh()

    def read_words() -> tuple[Tensor, Tensor]:
        pictures, attributes = data.seen(SEEN_AT_ONCE)
        vectors = net.encoder(degraded(pictures, rng))
        assert net.adapter.pooled is not None
        wanted = pooled_words(frozen, attributes, words)
        colours = F.mse_loss(net.colours(vectors), mean_colours(pictures))
        return F.mse_loss(net.adapter.pooled(vectors), wanted) / wanted.var(), colours

    def paint() -> Tensor:
        painted, references = data.pairs(batch)
        z, masked, repaint = (torch.cat(parts) for parts in zip(*map(data.latents, painted.tolist()), strict=True))
        said = [
            "" if rng.random() < UNSAID else describe(dict(zip(FIELDS, row.tolist(), strict=True)), rng)
            for row in data.attributes[painted]
        ]
        vectors = net.encoder(degraded(data.pictures(references), rng))
        one = torch.ones(1, device=device)
        rows = [
            guided.guides(vector[None], one, strength=1.0, area=area[None], texts=2).within(first, first + 1)
            for vector, area, first in zip(vectors, repaint, (rng.random(batch) >= UNGUIDED).astype(int), strict=True)
        ]
        t = timesteps(batch, len(kept), device)
        x, target = noised(z, t, kept)
        ids = torch.from_numpy(words(said)).to(device)
        with guided.during(RowGuides.joined(rows, [1] * batch)):
            prediction = frozen(x, t, repaint, masked, ids)
        return loss_of(prediction.float(), target, repaint)[1]

    def loss() -> Loss:
        said, colours = read_words()
        metrics = {"words": said, "colours": colours}
        value = said + colours
        if run.done >= WORDS_SHARE:
            metrics["background"] = paint()
            value = value + metrics["background"]
        return Loss(value, batch, metrics)

    return fit(run, net, optimizer, loss, ema=EMA, on_log=data.refresh)


def load(run: Path) -> Reference:
    """The averaged networks of a training's folder, in eval mode."""
    net = Reference()
    net.load_state_dict(read_checkpoint(run)["ema"])
    return net.eval().requires_grad_(False)


def main() -> None:
    """Write the encoder and the adapter into a pack, which then follows references."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the training's folder")
    parser.add_argument("--ship", type=Path, required=True, help="the pack's folder")
    options = parser.parse_args()
    net = load(options.run)
    written = [
        ship(options.ship, "image_encoder", "SceneEncoder", ENCODER_CONFIG, net.encoder),
        ship(options.ship, "ip_adapter", "IPAdapter", ADAPTER_CONFIG, net.adapter),
    ]
    path = options.ship / "manifest.yaml"
    manifest = yaml.safe_load(path.read_text("utf-8"))
    manifest["references"] = True
    text = yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
    path.write_text(text, "utf-8")
    print(json.dumps([role["files"] for role in written]))


if __name__ == "__main__":
    main()
