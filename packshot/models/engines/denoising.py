"""The state of one scene between its denoising steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from packshot.contract.verdict import Finding
from packshot.types import Brief

__all__ = ["Denoising"]


@dataclass(eq=False)
class Denoising:
    """The state of a scene between its denoising steps, with c latent channels and h x w latents.

    Tensors in the engine's dtype:
        `texts` (1 or 2, L, D): the encoded [negative prompt and] prompt.
        `control` (1, C, h, w): the embedded control image.
        `inpaint` (1, 1 + c, h, w): the mask and the masked picture's latents; None for a plain UNet.
    Tensors in fp32:
        `latents`, `noise` (1, c, h, w): the present latents, and the initial noise.
        `known` (1, c, h, w): the picture's latents; None for an inpainting UNet.
        `mask` (1, 1, h, w): 1 = repaint.
        `predicted` (1, c, h, w): the clean latents that the last step implied; None before the first step.

    `control_scales` holds one scale for each step, which is 0 outside the control window. `findings` states how the
    prompt was read. `index` is the number of completed steps. `error` is the reason why this scene cannot continue.
    Only the engine that began a scene can step it.
    """

    brief: Brief
    texts: Tensor
    control: Tensor
    inpaint: Tensor | None
    known: Tensor | None
    mask: Tensor
    noise: Tensor
    latents: Tensor
    scheduler: Any
    timesteps: Tensor
    control_scales: tuple[float, ...]
    generator: torch.Generator
    findings: tuple[Finding, ...] = ()
    index: int = 0
    error: Exception | None = None
    predicted: Tensor | None = field(default=None, repr=False)

    @property
    def steps(self) -> int:
        return len(self.timesteps)

    @property
    def done(self) -> bool:
        return self.index >= self.steps

    @property
    def guided(self) -> bool:
        """Whether the scene uses guidance, and thus two batch rows."""
        return self.brief.rows_per_step == 2
