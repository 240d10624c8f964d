"""The state of one scene between its denoising steps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from packshot.contract.verdict import Finding
from packshot.models.engines.controls import Control, ControlName
from packshot.models.engines.looks import SceneLooks
from packshot.models.engines.references import RowGuides
from packshot.models.engines.windows import Windows
from packshot.types import Brief

__all__ = ["Denoising", "Seen", "clean_latents"]


@dataclass(frozen=True)
class Seen:
    """The pictures that a transformer sees beside a scene of n windows, as S tokens of c channels.

    `tokens` (n, S, c) are in the engine's dtype. `places` (S, 4) are their places. `bias` (S,) is added to the
    attention to them; None = nothing.
    """

    tokens: Tensor
    places: Tensor
    bias: Tensor | None


@dataclass(eq=False)
class Denoising:
    """The state of a scene between its denoising steps, with c latent channels, H x W latents and n windows of h x w.

    Tensors in the engine's dtype:
        `texts` (1 or 2, L, D): the encoded [negative prompt and] prompt.
        `pooled` (1 or 2, P): the pooled texts of a second text encoder; None without one.
        `controls`: the control image of each condition, embedded, and its weights.
        `guides`: the scene's references, for each of its batch rows; None without any.
        `inpaint` (n, 1 + c, h, w): the mask and the masked picture's latents; None for a plain UNet.
        `seen`: the pictures that the recipe flow_edit shows to its transformer; None in other recipes.
    Tensors in fp32:
        `latents`, `noise` (1, c, H, W): the present latents, and the initial noise.
        `known` (1, c, H, W): the picture's latents; None for an inpainting UNet, unless the scene keeps a part of one.
        `mask` (1, 1, H, W): 1 = repaint.
        `predicted` (1, c, H, W): the clean latents that the last step implied; None before the first step.

    `looks` are the scene's adapters, None without any. `lengths` are the places of `texts` that are not padding, where
    a recipe reads those alone. `again` says of each step whether the same timestep follows it. `findings` states how
    the prompt was read. `index` is the number of completed steps. `error` is the reason why this scene cannot continue.
    `outline` is the whole scene squeezed into one window while it takes the first steps; None without or after them.
    Only the engine that began a scene can step it.
    """

    brief: Brief
    windows: Windows
    texts: Tensor
    pooled: Tensor | None
    controls: Mapping[ControlName, Control]
    inpaint: Tensor | None
    known: Tensor | None
    mask: Tensor
    noise: Tensor
    latents: Tensor
    scheduler: Any
    timesteps: Tensor
    generator: torch.Generator
    guides: RowGuides | None = None
    looks: SceneLooks | None = None
    findings: tuple[Finding, ...] = ()
    again: tuple[bool, ...] = ()
    index: int = 0
    seen: Seen | None = None
    lengths: tuple[int, ...] = ()
    error: Exception | None = None
    predicted: Tensor | None = field(default=None, repr=False)
    outline: Denoising | None = field(default=None, repr=False)

    @property
    def steps(self) -> int:
        return len(self.timesteps)

    @property
    def done(self) -> bool:
        return self.index >= self.steps

    def control_scale(self, name: ControlName) -> float:
        """The weight of a control image in the next step; 0 without it."""
        control = self.controls.get(name)
        return control.scales[self.index] if control else 0.0

    @property
    def guided(self) -> bool:
        """Whether the scene uses guidance, and thus two batch rows."""
        return self.brief.rows_per_step == 2

    def follow_outline(self, steps: int) -> None:
        """Take over the state of the outline. After its `steps` steps, continue with the scene itself."""
        outline = self.outline
        assert outline is not None, "only a scene of several windows has an outline"
        self.index, self.error = outline.index, outline.error
        if outline.predicted is not None:
            self.predicted = functional.interpolate(outline.predicted, size=self.latents.shape[-2:], mode="bicubic")
        if self.index < steps or self.predicted is None:
            return
        if hasattr(self.scheduler, "set_begin_index"):
            self.scheduler.set_begin_index(self.index)
        self.latents = self.scheduler.add_noise(self.predicted, self.noise, self.timesteps[self.index][None])
        self.outline = None


def clean_latents(row: Denoising, inputs: Tensor, prediction: Tensor, kind: str) -> Tensor:
    """The clean latents that a prediction implies, as an approximation that fits every scheduler.

    `inputs` are the network's inputs. They are variance-preserving even if the scheduler uses sigmas. `kind` is the
    pack's prediction type.
    """
    if kind == "sample":
        return prediction
    kept = _kept(row.scheduler.alphas_cumprod, float(row.timesteps[row.index]))
    noise_share, signal_share = math.sqrt(1 - kept), math.sqrt(kept)
    if kind == "v_prediction":
        return signal_share * inputs - noise_share * prediction
    return (inputs - noise_share * prediction) / max(signal_share, 1e-3)


def _kept(alphas: Tensor, timestep: float) -> float:
    """The signal's share of the variance at a timestep. Euler's may lie between two; sigmas are linear there."""
    last = len(alphas) - 1
    now = min(int(timestep), last)
    share = min(timestep, last) - now
    if not share:
        return float(alphas[now])
    low, high = (math.sqrt((1 - float(alphas[i])) / float(alphas[i])) for i in (now, now + 1))
    return 1 / ((low + share * (high - low)) ** 2 + 1)
