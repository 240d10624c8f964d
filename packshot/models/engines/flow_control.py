"""Z-Image's recipe: a transformer with a ControlNet whose control image also holds what is inpainted.

The control image of a condition is three parts in the VAE's latents: its map (c channels), 1 where the picture is kept
(1), and the picture without what is repainted (c). The ControlNet turns it into residuals of some of the transformer's
layers. A union ControlNet serves several conditions; each is a call of its own, and their residuals are added. The loop
of the steps is in `packshot.models.engines.flow`. The results equal `ZImageControlNetInpaintPipeline`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional

from packshot.contract.shot_spec import ConditionKind
from packshot.models.engines.chat_prompts import ChatPrompts
from packshot.models.engines.controls import Control, ControlName, control_image, scales_of
from packshot.models.engines.denoising import Denoising
from packshot.models.engines.flow import FlowEngine, Repainted
from packshot.models.engines.tensors import repeat
from packshot.models.engines.windows import MANY_ROWS, Windows
from packshot.models.packs.flow_fit import CONTROL_LAYER
from packshot.models.packs.manifest import CHANNELS_OF_KIND
from packshot.models.packs.pack import Pack
from packshot.types import Scene

__all__ = ["FlowControlEngine"]

PATCH = 2
"""Latents on each side of one token."""
TOKENS_MULTIPLE = 32
"""Z-Image pads each text and each picture to a multiple of this many tokens."""


class FlowControlEngine(FlowEngine):
    """The engine of a pack with the recipe `flow_control`. It is not thread-safe: call it from one thread only."""

    def __init__(self, pack: Pack, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        super().__init__(pack, device, dtype, factor=pack.vae_factor, patch=PATCH)
        self._prompts = ChatPrompts(pack, self.device, dtype, layers=(CONTROL_LAYER,))
        self._controlnet = pack.load("controlnet", self.device, dtype)
        self._controlnet.from_transformer(self._controlnet, self._transformer)  # they share their embedders

    def _shift(self, tokens: int, steps: int) -> float:
        """The scheduler's own line, from `base_shift` to `max_shift`; it does not depend on the steps."""
        config = self._scheduler.config
        low, high = config.base_image_seq_len, config.max_image_seq_len
        return float(config.base_shift + (config.max_shift - config.base_shift) * (tokens - low) / (high - low))

    def _begin(self, scene: Scene, windows: Windows, generator: torch.Generator) -> Denoising:
        brief = scene.brief
        texts, lengths, finding = self._prompts.read(brief)
        repainted = self._repainted(scene)
        # The ControlNet knows the picture. Something else must keep it where it does not run, and in a touch-up.
        conditions = {kind: one for kind, one in brief.all_conditions.items() if one.scale}
        known = None
        if scene.kept is not None or not conditions:
            known = windows.merge(self._encode_windows(repainted.picture, windows))
        row = self._started(scene, windows, known, generator)
        row.mask = covered = self._touched(repainted.area)
        if scene.kept is None:
            covered = functional.interpolate(repainted.area, size=row.mask.shape[-2:])  # nearest
        row.texts, row.lengths, row.findings = texts, lengths, (finding,)
        if conditions:
            masked = self._encode_windows(repainted.picture * (repainted.area < 0.5), windows)
            inpainted = torch.cat([windows.split(1 - covered), masked], dim=1)  # (n, 1 + c, h, w)
            images = {kind: self._encode_windows(_map(kind, scene, repainted), windows) for kind in conditions}
            row.controls = {
                kind: Control(
                    torch.cat([images[kind], inpainted], dim=1).to(self.dtype), scales_of(condition, brief.steps)
                )
                for kind, condition in conditions.items()
            }
        return row

    def _predict(self, rows: Sequence[Denoising], inputs: Sequence[Tensor], max_rows: int = MANY_ROWS) -> list[Tensor]:
        """6.t One call of the ControlNet for each condition, and one of the transformer, for `max_rows` batch rows."""
        counts = [len(row.texts) for row in rows]
        in_scene = [count * len(row.windows) for count, row in zip(counts, rows, strict=True)]
        windows = [row.windows.split(latents) for row, latents in zip(rows, inputs, strict=True)]
        latents = repeat(windows, counts).to(self.dtype)[:, :, None]  # (n, c, 1, h, w)
        texts = [
            text[:length]
            for row in rows
            for text, length in zip(row.texts, row.lengths, strict=True)
            for _ in range(len(row.windows))
        ]
        times = 1 - self._timesteps(rows, in_scene) / 1000
        begins = list(accumulate(in_scene, initial=0))
        controls: dict[ControlName, dict[int, tuple[Tensor, float]]] = {}
        for row, begin, count in zip(rows, begins, counts, strict=False):
            for kind, control in row.controls.items():
                scale = control.scales[row.index]
                for number, image in enumerate(control.embedded.repeat(count, 1, 1, 1) if scale else ()):
                    controls.setdefault(kind, {})[begin + number] = (image, scale)
        out = []
        for start in range(0, len(latents), max_rows):
            part = slice(start, start + max_rows)
            own = {
                kind: {number - start: one for number, one in of_rows.items() if start <= number < start + max_rows}
                for kind, of_rows in controls.items()
            }
            out.append(self._call(latents[part], times[part], texts[part], own))
        return self._velocities(rows, torch.cat(out), in_scene)

    def _call(
        self,
        latents: Tensor,
        times: Tensor,
        texts: Sequence[Tensor],
        controls: Mapping[ControlName, Mapping[int, tuple[Tensor, float]]],
    ) -> Tensor:
        """The velocities (n, c, h, w), fp32. `controls` are the control images of batch rows, and their weights."""
        residuals: dict[int, Tensor] = {}
        height, width = latents.shape[-2:]
        length = _padded(height * width // PATCH**2) + _padded(max(map(len, texts)))
        for of_rows in controls.values():
            at = list(of_rows)
            if not at:
                continue
            images, scales = zip(*of_rows.values(), strict=True)
            own = self._controlnet(
                [latents[number] for number in at],
                times[at],
                [texts[number] for number in at],
                [image[:, None] for image in images],
                conditioning_scale=torch.tensor(scales, device=self.device, dtype=self.dtype)[:, None, None],
            )
            for layer, residual in own.items():
                whole = residual
                if len(at) < len(latents):  # a call for some rows is padded to their own longest text
                    whole = residual.new_zeros((len(latents), length, residual.shape[-1]))
                    whole[at, : residual.shape[1]] = residual
                residuals[layer] = residuals[layer] + whole if layer in residuals else whole
        out = self._transformer(
            list(latents), times, list(texts), controlnet_block_samples=residuals or None, return_dict=False
        )[0]
        return -torch.stack(out)[:, :, 0].float()

    def _encode(self, picture: Tensor) -> Tensor:
        latents = self._vae.encode(picture.to(self.dtype)).latent_dist.mode().float()
        config = self._vae.config
        scaled: Tensor = (latents - config.shift_factor) * config.scaling_factor
        return scaled

    def _decode(self, latents: Tensor) -> Tensor:
        config = self._vae.config
        unscaled = latents / config.scaling_factor + config.shift_factor
        return self._finite(self._vae.decode(unscaled.to(self.dtype), return_dict=False)[0])


def _map(kind: ConditionKind, scene: Scene, repainted: Repainted) -> Tensor:
    """The map of a condition as a picture, (1, 3, H, W), -1..1."""
    return 2 * control_image(scene, repainted.area, repainted.picture[0], CHANNELS_OF_KIND[kind]) - 1


def _padded(tokens: int) -> int:
    """The tokens that the transformer makes of this many, by padding."""
    return -(-tokens // TOKENS_MULTIPLE) * TOKENS_MULTIPLE
