"""What the painter and the ControlNet are shown: scenes encoded to latents, with masks, edges and captions.

Most masks are perturbed (grown, shrunk, with a rim of another picture's background) as a segmenter's masks are. A
painter that is trained only with perfect masks paints a glow around the product.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from diffusers import AutoencoderTiny
from numpy.typing import NDArray
from torch import Tensor

from packshot.models.engines.word_tokenizer import WordTokenizer
from packshot.training.fit import bf16_where_fast
from packshot.training.progress import CPU
from training.mini.traced import PREFIX
from training.scenes.words import FIELDS, describe

FACTOR = 8
WHOLE = 0.6
"""Share of captions that leave nothing out."""
SAYINGS = 16
"""The random captions of each scene, from which a batch's are drawn. Writing them anew would take as long as a step."""
TRACED_WEIGHT, MOST_TRACED = 1.5, 0.5
"""How much oftener a path-traced picture is drawn than a drawn scene, and their largest share of a batch."""
SCENE_EDGES, HIDDEN = 0.4, 0.25
"""ControlNet: the shares of samples whose edges are the whole scene's, and whose product the painter does not see."""
EDGES, OUTLINE, MASK = 0, 2, 3
"""The bits of `Latents.bits`: the product's edges, the scene's edges, the mask.

Edges and mask have two bits: of the exact mask, and of the perturbed one."""


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
        self.folder, self.rng, self.device = scenes, np.random.default_rng(seed), device
        self.vae: AutoencoderTiny = vae.to(device, memory_format=torch.channels_last)
        self.seen: set[str] = set()
        # torch.cat skips tensors of shape (0,), so the first shard determines the size of the pictures.
        self.z = torch.empty(0, device=device)
        self.masked, self.repaint = self.z, self.z  # for the exact and for the perturbed mask
        self.bits = torch.empty(0, dtype=torch.uint8, device=device)  # (N, S, S), see EDGES, OUTLINE, MASK
        self.depth = torch.empty(0, dtype=torch.uint8, device=device)  # (N, S, S): the products' depth maps
        self.grey = torch.empty(0, device=device)  # the latents of a picture without a product
        self.attributes = np.empty((0, len(FIELDS)), np.int64)
        self.traced = np.empty(0, bool)
        self._said = torch.empty(0, dtype=torch.int64, device=device)  # (N, SAYINGS, L): token ids

    def refresh(self, at_most: int = 1 << 30) -> None:
        """Encode new shards, oldest first, at most `at_most` of them."""
        fresh = [
            p for p in sorted(self.folder.glob("*.npz"), key=lambda p: p.stat().st_mtime) if p.name not in self.seen
        ]
        for path in fresh[:at_most]:
            with np.load(path) as shard:
                count = len(shard["image"])
                if count:
                    depth = shard["depth"] if "depth" in shard else np.zeros_like(shard["edges"])
                    self._add(shard["image"], shard["mask"], shard["edges"], depth, shard["attributes"])
                self.traced = np.append(self.traced, np.full(count, path.name.startswith(PREFIX)))
            self.seen.add(path.name)

    @torch.inference_mode()
    def _encode(self, pictures: np.ndarray) -> Tensor:
        x = torch.from_numpy(pictures).to(self.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        with bf16_where_fast(self.device):
            latents: Tensor = self.vae.encode(x.contiguous(memory_format=torch.channels_last)).latents
        return latents.float()

    def _add(
        self, image: np.ndarray, mask: np.ndarray, edges: np.ndarray, depth: np.ndarray, attributes: np.ndarray
    ) -> None:
        flip = self.rng.random(len(image)) < 0.5
        image, mask, edges, depth, attributes = (rows.copy() for rows in (image, mask, edges, depth, attributes))
        for rows in (image, mask, edges, depth):
            rows[flip] = rows[flip][:, :, ::-1]
        side = FIELDS.index("side")
        attributes[flip, side] = 1 - attributes[flip, side]
        other = image[self.rng.permutation(len(image))]
        with ThreadPoolExecutor() as pool:
            worn = list(pool.map(_worn, image, mask, edges, other, self.rng.spawn(len(image))))
        products = [product for row in worn for product in row.products]
        repaints = [kept for row in worn for kept in row.repaints]
        bits = [row.bits for row in worn]
        count = len(image)
        repaint = torch.from_numpy(np.stack(repaints)[:, ::FACTOR, ::FACTOR]).to(self.device).float()
        self.z = torch.cat([self.z, self._encode(image.astype(np.float32))])
        self.masked = torch.cat([self.masked, self._encode(np.stack(products)).unflatten(0, (count, 2))])
        self.repaint = torch.cat([self.repaint, repaint.unflatten(0, (count, 2))])
        self.bits = torch.cat([self.bits, torch.from_numpy(np.stack(bits)).to(self.device)])
        self.depth = torch.cat([self.depth, torch.from_numpy(depth).to(self.device)])
        if not len(self.grey):
            self.grey = self._encode(np.full((1, *image.shape[1:]), 127.5, np.float32))
        self.attributes = np.concatenate([self.attributes, attributes])

    def _rows(self, count: int) -> np.ndarray:
        """Random rows: path-traced ones TRACED_WEIGHT times as often, but at most in MOST_TRACED of a batch."""
        drawn, traced = np.flatnonzero(~self.traced), np.flatnonzero(self.traced)
        if not len(drawn) or not len(traced):
            return self.rng.integers(0, len(self.z), count)
        weight = TRACED_WEIGHT * len(traced)
        share = min(MOST_TRACED, weight / (weight + len(drawn)))
        rows: np.ndarray = np.where(
            self.rng.random(count) < share, self.rng.choice(traced, count), self.rng.choice(drawn, count)
        )
        return rows

    def draw(self, count: int, words: WordTokenizer) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Draw a batch of `count` samples at random. With s = S / 8, it returns:

        z (B, c, s, s), repaint (B, 1, s, s), masked (B, c, s, s), token ids (B, L).
        """
        return self._sample(*self._choose(count), words)

    def draw_controlled(
        self,
        count: int,
        words: WordTokenizer,
        scene_edges: float = SCENE_EDGES,
        hidden: float = HIDDEN,
        *,
        depth: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Draw a batch as `draw` does, with the control images (B, 2, S, S) in 0..1: edges and product.

        In a share of `hidden`, `masked` and `repaint` do not show the product. In a share of `scene_edges`, the edges
        are the whole scene's. With `depth`, the product's depth takes the place of the edges.
        """
        at, kind = self._choose(count)
        z, repaint, masked, ids = self._sample(at, kind, words)
        bits = self.bits[at]
        edges, product = ((bits >> (first + kind)[:, None, None]) & 1 for first in (EDGES, MASK))
        whole, blind = (
            torch.from_numpy(self.rng.random(count) < share).to(self.device)[:, None, None]
            for share in (scene_edges, hidden)
        )
        edges = torch.where(whole, edges | ((bits >> OUTLINE) & 1), edges).float()
        shape = self.depth[at] / 255 if depth else edges
        masked = torch.where(blind[..., None], self.grey, masked)
        repaint = torch.where(blind[..., None], torch.ones_like(repaint), repaint)
        return z, repaint, masked, ids, torch.stack([shape, product.float()], 1)

    def _choose(self, count: int) -> tuple[Tensor, Tensor]:
        """Rows (B) and for each the mask to use (B): 0 the exact one, 1 the perturbed one."""
        kind = torch.from_numpy((self.rng.random(count) < 0.6).astype(np.int64))
        return torch.from_numpy(self._rows(count)).to(self.device), kind.to(self.device)

    def _sample(self, at: Tensor, kind: Tensor, words: WordTokenizer) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        self._say(words)
        saying = torch.from_numpy(self.rng.integers(0, SAYINGS, len(at))).to(self.device)
        return self.z[at], self.repaint[at, kind][:, None], self.masked[at, kind], self._said[at, saying]

    def _say(self, words: WordTokenizer) -> None:
        """Write the captions of the scenes that have none yet."""
        fresh = self.attributes[len(self._said) :].tolist()
        if fresh:
            texts = [caption(dict(zip(FIELDS, row, strict=True)), self.rng) for row in fresh for _ in range(SAYINGS)]
            ids = torch.from_numpy(words(texts)).to(self.device).unflatten(0, (len(fresh), SAYINGS))
            self._said = torch.cat([self._said, ids])


class _Worn(NamedTuple):
    """A scene for the exact and for the perturbed mask: what is repainted (bool SxS), what is seen of the product
    (float32 SxSx3, 0..255), and `Latents.bits` (uint8 SxS)."""

    repaints: tuple[NDArray[np.bool_], NDArray[np.bool_]]
    products: tuple[NDArray[np.float32], NDArray[np.float32]]
    bits: NDArray[np.uint8]


def _worn(image: np.ndarray, mask: np.ndarray, edges: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> _Worn:
    """Perturb a scene's mask. Outside the product's true border, a grown mask shows the photo that it was cut from.

    `other` is the picture that plays this photo.
    """
    exact, perturbed = mask >= 128, perturb_mask(mask >= 128, rng)
    alpha = mask[..., None].astype(np.float32) / 255
    pasted = (image * alpha + other * (1 - alpha)).round().astype(np.float32)
    seen = (
        np.where(exact[..., None], image, np.float32(127.5)),
        np.where(perturbed[..., None], pasted, np.float32(127.5)),
    )
    near_mask = cv2.dilate(perturbed.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    outline = cv2.Canny(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), 100, 200)
    planes = (edges > 0, near_mask & (edges > 0), outline > 0, exact, perturbed)
    return _Worn((~exact, ~perturbed), seen, np.packbits(np.stack(planes), axis=0, bitorder="little")[0])
