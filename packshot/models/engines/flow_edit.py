"""FLUX.2 klein's recipe: a transformer that sees pictures as further tokens of one sequence.

The sequence is text, the noisy window, the picture that is repainted, and the reference pictures. Each token has a
place (time, row, column, text index): the window has the time 0, the repainted picture 10, the first reference 20. The
latents are those of the VAE in patches of 2 x 2, normalised by the VAE's own statistics. The loop of the steps is in
`packshot.models.engines.flow`. The results equal `Flux2KleinInpaintPipeline`'s.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from packshot.models.engines.chat_prompts import ChatPrompts
from packshot.models.engines.denoising import Denoising, Seen
from packshot.models.engines.flow import FlowEngine
from packshot.models.engines.tensors import repeat, to_unit
from packshot.models.engines.windows import MANY_ROWS, Windows
from packshot.models.packs.flow_fit import EDIT_LAYERS
from packshot.models.packs.pack import Pack
from packshot.types import U8, Scene

__all__ = ["FlowEditEngine"]

PATCH = 2
"""Latents of the VAE on each side of one token."""
TIME_APART = 10
"""How far the pictures that the transformer sees are apart in the time of their places."""
REFERENCE_TOKENS = 1024
"""The most tokens of a reference picture: those of 512 x 512 px. Eight are as long as two scenes of 1,024 px."""


class FlowEditEngine(FlowEngine):
    """The engine of a pack with the recipe `flow_edit`. It is not thread-safe: call it from one thread only."""

    def __init__(self, pack: Pack, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        super().__init__(pack, device, dtype, factor=PATCH * pack.vae_factor, patch=1)
        self._prompts = ChatPrompts(pack, self.device, dtype, layers=EDIT_LAYERS)
        norm = self._vae.bn
        self._mean = norm.running_mean.float().view(1, -1, 1, 1)
        self._deviation = torch.sqrt(norm.running_var.float().view(1, -1, 1, 1) + self._vae.config.batch_norm_eps)

    def batch_key(self, scene: Scene) -> Hashable:
        """Scenes with equal keys can share a step, because their sequences have the same places."""
        return super().batch_key(scene), tuple(self._reference_size(one.shape[:2]) for one in _pictures(scene))

    def rows(self, scene: Scene) -> int:
        """The batch rows that a step of the scene counts as: more where references make its sequence longer."""
        return super().rows(scene) * self._row_weight(
            math.prod(self._windows(scene).window),
            sum(math.prod(self._reference_size(one.shape[:2])) for one in _pictures(scene)),
        )

    def _row_weight(self, window: int, references: int) -> int:
        """How many rows without references a batch row is as long as. Both are numbers of tokens."""
        whole = self._prompts.tokens + 2 * window
        return math.ceil((whole + references) / whole)

    def _shift(self, tokens: int, steps: int) -> float:
        """FLUX.2's shift, fitted to the tokens of a window and to the number of steps.

        It is linear in the steps: its values at 10 and at 200 steps are linear in the tokens. Beyond 4,300 tokens it
        does not depend on the steps.
        """
        at_200 = 0.00016927 * tokens + 0.45666666
        if tokens > 4300:
            return at_200
        at_10 = 8.73809524e-05 * tokens + 1.89833333
        slope = (at_200 - at_10) / 190
        return slope * steps + at_200 - 200 * slope

    def _begin(self, scene: Scene, windows: Windows, generator: torch.Generator) -> Denoising:
        texts, _, finding = self._prompts.read(scene.brief)
        repainted = self._repainted(scene)
        encoded = self._encode_windows(repainted.picture, windows)  # (n, c, h, w)
        row = self._started(scene, windows, windows.merge(encoded), generator)
        width, height = windows.size
        row.mask = (
            functional.interpolate(repainted.area, size=(height, width), mode="bilinear")
            if scene.kept is None
            else self._touched(repainted.area)
        )
        row.texts, row.findings = texts, (finding,)
        row.seen = self._see(scene, encoded)
        return row

    def _see(self, scene: Scene, encoded: Tensor) -> Seen:
        """The tokens of the repainted picture, (n, c, h, w) for n windows, and of the scene's references."""
        references = [self._encode(self._fitted(to_unit(picture))) for picture in _pictures(scene)]
        count = len(encoded)
        parts = [encoded, *(one.expand(count, -1, -1, -1) for one in references)]
        places = [_places(part, TIME_APART * (index + 1)) for index, part in enumerate(parts)]
        tokens = torch.cat([_tokens(part) for part in parts], dim=1)
        return Seen(tokens.to(self.dtype), torch.cat(places).to(self.device), self._bias(scene, parts))

    def _bias(self, scene: Scene, parts: Sequence[Tensor]) -> Tensor | None:
        """What is added to the attention to each seen token, (S,); None = nothing.

        A reference of an average weight at full strength gets nothing, one of half the weight ln 1/2: attention to it
        counts half.
        """
        given = scene.references
        if given is None:
            return None
        shares = [given.strength * one.weight * len(given.pictures) for one in given.pictures]
        if all(math.isclose(share, 1, rel_tol=1e-3) for share in shares):
            return None
        logs = [0.0, *(math.log(max(share, 1e-4)) for share in shares)]
        sizes = [part.shape[-2] * part.shape[-1] for part in parts]
        return torch.cat([torch.full((size,), log) for size, log in zip(sizes, logs, strict=True)]).to(self.device)

    def _reference_size(self, size: Sequence[int]) -> tuple[int, int]:
        """The (height, width) in tokens at which a reference picture of (height, width) in pixels is seen."""
        height, width = size
        shrink = min(1.0, math.sqrt(REFERENCE_TOKENS * self.factor**2 / (height * width)))
        return max(1, int(height * shrink) // self.factor), max(1, int(width * shrink) // self.factor)

    def _fitted(self, picture: Tensor) -> Tensor:
        """A reference picture, resampled to whole tokens."""
        size = [side * self.factor for side in self._reference_size(picture.shape[-2:])]
        picture = picture.to(self.device)
        if list(picture.shape[-2:]) == size:
            return picture
        return functional.interpolate(picture, size=size, mode="bicubic", antialias=True).clamp(-1, 1)

    def _predict(self, rows: Sequence[Denoising], inputs: Sequence[Tensor], max_rows: int = MANY_ROWS) -> list[Tensor]:
        """6.t One call of the transformer for at most `max_rows` batch rows without references."""
        counts = [len(row.texts) for row in rows]
        sizes = [len(row.windows) for row in rows]
        in_scene = [count * size for count, size in zip(counts, sizes, strict=True)]
        windows = [row.windows.split(latents) for row, latents in zip(rows, inputs, strict=True)]
        latents = repeat(windows, counts)  # (n, c, h, w)
        texts = torch.cat([row.texts.repeat_interleave(size, dim=0) for row, size in zip(rows, sizes, strict=True)])
        all_seen = [row.seen for row in rows if row.seen is not None]
        seen = repeat([one.tokens for one in all_seen], counts)  # (n, S, c)
        bias = _biases(all_seen, in_scene, texts.shape[1] + math.prod(latents.shape[-2:]))
        times = self._timesteps(rows, in_scene)
        places = torch.cat([_places(latents, 0).to(self.device), all_seen[0].places])
        window = latents.shape[-2] * latents.shape[-1]
        each = max(1, max_rows // self._row_weight(window, seen.shape[1] - window))
        out = [
            self._call(
                latents[part], seen[part], texts[part], times[part], places, None if bias is None else bias[part]
            )
            for part in (slice(start, start + each) for start in range(0, len(latents), each))
        ]
        return self._velocities(rows, torch.cat(out), in_scene)

    def _call(
        self, latents: Tensor, seen: Tensor, texts: Tensor, times: Tensor, places: Tensor, bias: Tensor | None
    ) -> Tensor:
        """The velocities (n, c, h, w), fp32."""
        tokens = _tokens(latents).to(self.dtype)  # (n, h w, c)
        words = torch.arange(texts.shape[1], device=self.device)
        nowhere = torch.zeros_like(words)
        out = self._transformer(
            hidden_states=torch.cat([tokens, seen], dim=1),
            timestep=times / 1000,
            guidance=None,
            encoder_hidden_states=texts,
            txt_ids=torch.stack([nowhere, nowhere, nowhere, words], dim=1),
            img_ids=places,
            joint_attention_kwargs=None if bias is None else {"attention_mask": bias[:, None, None].to(self.dtype)},
            return_dict=False,
        )[0]
        velocities: Tensor = out[:, : tokens.shape[1]].float()
        return velocities.transpose(1, 2).reshape(latents.shape)

    def _encode(self, picture: Tensor) -> Tensor:
        latents = self._vae.encode(picture.to(self.dtype)).latent_dist.mode().float()
        normal: Tensor = (functional.pixel_unshuffle(latents, PATCH) - self._mean) / self._deviation
        return normal

    def _decode(self, latents: Tensor) -> Tensor:
        unscaled = functional.pixel_shuffle(latents * self._deviation + self._mean, PATCH)
        return self._finite(self._vae.decode(unscaled.to(self.dtype), return_dict=False)[0])


def _pictures(scene: Scene) -> list[U8]:
    """The scene's reference pictures, each uint8 HxWx3 RGB."""
    given = scene.references.pictures if scene.references else ()
    return [one.pixels for one in given if one.pixels is not None]


def _tokens(latents: Tensor) -> Tensor:
    """Latents (n, c, h, w) as tokens (n, h w, c)."""
    return latents.flatten(2).transpose(1, 2)


def _places(latents: Tensor, time: int) -> Tensor:
    """The places (h w, 4) of the tokens of latents (n, c, h, w)."""
    height, width = latents.shape[-2:]
    axes = (torch.tensor([time]), torch.arange(height), torch.arange(width), torch.zeros(1, dtype=torch.long))
    return torch.cartesian_prod(*axes)


def _biases(seen: Sequence[Seen], in_scene: Sequence[int], before: int) -> Tensor | None:
    """What is added to the attention to each token of n batch rows, (n, `before` + S); None = nothing anywhere."""
    if all(one.bias is None for one in seen):
        return None
    own = [torch.zeros(len(one.places), device=one.places.device) if one.bias is None else one.bias for one in seen]
    whole = [functional.pad(bias, (before, 0)) for bias in own]
    return torch.cat([bias.expand(count, -1) for bias, count in zip(whole, in_scene, strict=True)])
