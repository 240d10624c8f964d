"""What the engines of flow-matching transformers share: noise levels, Euler steps, and what a prediction means.

Flow matching mixes a picture x with noise e: the latents are (1 - s) x + s e at the noise level s, 1 to 0. A network
predicts the velocity v = e - x. So the clean latents are latents - s v, and a step to the level r adds (r - s) v.

For each scene, once (`begin`), as in `packshot.models.engines.unet_controlnet`:
    1.  Refuse a brief that exceeds the pack's limits.
    2.  Encode the prompt, and the negative prompt when guidance needs it (cached by text).
    3.  Encode the pictures that the networks see: the recipe's own part.
    4.  Compute the noise levels, and draw the initial noise.
    5.  A touch-up whose strength is below 1 starts from its picture with noise added, and leaves out the first steps.
For each denoising step, over all scenes of the step (`step`):
    6.t Each window takes a batch row, and with guidance two. Call the networks: the recipe's own part.
    7.t Apply each scene's guidance and its Euler step. Where something is known, put it back, noised to the next level.
For each scene, at the end (`decode`): decode the latents, window by window.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from packshot.models.engines.denoising import Denoising
from packshot.models.engines.schedule import Schedule
from packshot.models.engines.step_engine import StepEngine
from packshot.models.engines.tensors import to_unit
from packshot.models.engines.windows import Windows
from packshot.models.packs.pack import Pack
from packshot.types import Scene

__all__ = ["FlowEngine", "NoiseLevels", "Repainted"]


@dataclass(frozen=True)
class NoiseLevels:
    """The noise level of each step and the last one's end, `sigmas` (n + 1,) fp32. `scale` is a level's timestep."""

    sigmas: Tensor
    scale: float

    @property
    def timesteps(self) -> Tensor:
        """The timestep of each step, (n,)."""
        return self.sigmas[:-1] * self.scale

    def add_noise(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Latents (1, c, H, W) at the noise level of `timesteps` (1,)."""
        level = float(timesteps) / self.scale
        return level * noise + (1 - level) * clean


@dataclass(frozen=True)
class Repainted:
    """What a scene repaints. `picture` is (1, 3, H, W), -1..1, and `area` (1, 1, H, W) is 1 where it is repainted."""

    picture: Tensor
    area: Tensor


class FlowEngine(StepEngine):
    """The engine of a flow-matching transformer. It is not thread-safe: call it from one thread only.

    `factor` is the number of pixels of one latent on each side, and `patch` that of latents of one token.
    """

    def __init__(self, pack: Pack, device: torch.device | str, dtype: torch.dtype, *, factor: int, patch: int) -> None:
        pack.check()
        super().__init__(pack, device, dtype, factor=factor)
        self._patch = patch
        self._vae, self._transformer = (pack.load(role, self.device, dtype) for role in ("vae", "transformer"))
        self._scheduler = pack.load("scheduler")

    def _levels(self, steps: int, windows: Windows) -> NoiseLevels:
        """The noise levels of a scene. They depend on the number of tokens of a window where the scheduler says so."""
        tokens = windows.window[0] * windows.window[1] // self._patch**2
        scheduler = copy.deepcopy(self._scheduler)
        scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=self._shift(tokens, steps))
        return NoiseLevels(scheduler.sigmas, float(scheduler.config.num_train_timesteps))

    @abstractmethod
    def _shift(self, tokens: int, steps: int) -> float:
        """The scheduler's `mu`, which shifts the noise levels of a window of this many tokens."""

    def _repainted(self, scene: Scene) -> Repainted:
        """What the scene repaints: the layout's surround, or a part of the picture of which it keeps the rest."""
        kept = scene.kept
        picture, area = (scene.product, scene.inpaint_mask) if kept is None else (kept.picture, kept.repaint)
        repaint = torch.from_numpy(area[None, None] >= 128).to(self.device, torch.float32)
        return Repainted(to_unit(picture).to(self.device), repaint)

    def _touched(self, area: Tensor) -> Tensor:
        """The latents (1, 1, h, w) of which any pixel is repainted."""
        return functional.max_pool2d(area, self.factor)

    def _started(self, scene: Scene, windows: Windows, known: Tensor | None, generator: torch.Generator) -> Denoising:
        """4. and 5. A scene before its first step, without what its recipe encodes.

        `known` (1, c, H, W) are the latents of what it repaints; None for a scene that keeps nothing.
        """
        brief = scene.brief
        levels = self._levels(brief.steps, windows)
        width, height = windows.size
        noise = torch.randn((1, self._channels, height, width), generator=generator).to(self.device)
        schedule = Schedule.of(levels.timesteps, strength=brief.strength, harmonises=False)
        latents = noise
        if schedule.first and known is not None:
            latents = levels.add_noise(known, noise, schedule.plain[schedule.first][None])
        return Denoising(
            brief=brief,
            windows=windows,
            texts=torch.empty(0, device=self.device),
            pooled=None,
            controls={},
            inpaint=None,
            known=known,
            mask=torch.ones((1, 1, height, width), device=self.device),
            noise=noise,
            latents=latents,
            scheduler=levels,
            timesteps=schedule.timesteps,
            generator=generator,
            again=schedule.again,
            index=schedule.index,
        )

    @property
    def _channels(self) -> int:
        """The channels of the latents."""
        return int(self._transformer.config.in_channels)

    @abstractmethod
    def _encode(self, picture: Tensor) -> Tensor:
        """The latents (1, c, h, w), fp32, of a picture (1, 3, H, W), -1..1."""

    def _encode_windows(self, picture: Tensor, windows: Windows) -> Tensor:
        """The latents (n, c, h, w), fp32, of each window of a picture. They are encoded one by one."""
        return torch.cat([self._encode(part[None]) for part in windows.times(self.factor).split(picture)])

    def _timesteps(self, rows: Sequence[Denoising], in_scene: Sequence[int]) -> Tensor:
        """The timestep of each batch row, (n,). `in_scene` are each scene's batch rows."""
        times = torch.stack([row.timesteps[row.index] for row in rows]).to(self.device)
        return times.repeat_interleave(torch.tensor(in_scene, device=self.device))

    def _velocities(self, rows: Sequence[Denoising], out: Tensor, in_scene: Sequence[int]) -> list[Tensor]:
        """Each scene's velocities (1 or 2, c, H, W), of those of all batch rows: the mean of its windows."""
        return [
            torch.cat([row.windows.merge(part) for part in of_scene.split(len(row.windows))])
            for row, of_scene in zip(rows, out.split(list(in_scene)), strict=True)
        ]

    def _clean(self, row: Denoising, inputs: Tensor, prediction: Tensor) -> Tensor:
        return inputs - float(row.scheduler.sigmas[row.index]) * prediction

    def _advance(self, row: Denoising, prediction: Tensor) -> None:
        """7.t"""
        now, then = row.scheduler.sigmas[row.index : row.index + 2].tolist()
        row.latents = row.latents + (then - now) * prediction
        if row.known is not None:
            known = then * row.noise + (1 - then) * row.known
            row.latents = (1 - row.mask) * known + row.mask * row.latents
