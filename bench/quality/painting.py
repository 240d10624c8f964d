"""Paint products into scenes with a pack, and keep each render, so that a run that was stopped goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from bench.plain_shot import plain_shot
from packshot.batching import RenderBatcher
from packshot.contract.light import Shadow
from packshot.contract.recipe import EngineStamp
from packshot.contract.shot_spec import Canvas, Condition, ShotSpec
from packshot.imaging.edges import canny
from packshot.models.engines.loading import PackEngine, load_engine
from packshot.models.packs.pack import Pack
from packshot.shots import Finished, Painted, Prepared
from packshot.shots.finish import finish, fit
from packshot.shots.flow import brief_of
from packshot.types import U8, Render, Scene

STAMP = EngineStamp(pack={}, dtype="float32", device="cpu")


@dataclass(frozen=True)
class Picture:
    """One picture of the benchmark. Its name is that of its file."""

    product: str
    scene: int
    seed: int

    @property
    def name(self) -> str:
        return f"{self.product}-{self.scene}-{self.seed}"


def spec_of(pack: Pack, canvas: Canvas, prompt: str, seed: int) -> ShotSpec:
    """A shot of one product with the pack's defaults."""
    defaults = pack.manifest.defaults
    return plain_shot(
        canvas=canvas,
        prompt=prompt,
        seed=seed,
        steps=defaults.steps,
        guidance_scale=defaults.guidance_scale,
        conditions=(Condition(scale=defaults.control_scale),),
        shadow=Shadow("contact"),
        engine=pack.name,
    )


class Renders:
    """The painted scenes of a folder. `rows` is how many pictures are painted side by side."""

    def __init__(self, pack: Pack, folder: Path, device: str, rows: int) -> None:
        self._pack, self._folder, self._device, self._rows = pack, folder, torch.device(device), rows
        self._engine: PackEngine | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def paint(self, wanted: Iterable[tuple[Picture, Prepared, ShotSpec]]) -> dict[str, U8]:
        """The scene of each picture, uint8 HxWx3 RGB by name: that of an earlier run, or painted now."""
        wanted = list(wanted)
        missing = [one for one in wanted if not self._path(one[0]).exists()]
        if missing:
            asyncio.run(self._paint(missing))
        return {picture.name: np.array(Image.open(self._path(picture))) for picture, *_ in wanted}

    async def _paint(self, missing: Sequence[tuple[Picture, Prepared, ShotSpec]]) -> None:
        if self._engine is None:
            self._engine = load_engine(self._pack, self._device, torch.float32, freeze=True)
        batcher: RenderBatcher[Any] = RenderBatcher(self._engine, max_rows=self._rows)
        scenes = []
        for _, prepared, spec in missing:
            assert prepared.framing is not None
            fitted = fit(prepared, prepared.framing)
            scenes.append(Scene(fitted.product, fitted.repaint, canny(fitted.flat), brief_of(spec, spec.seed)))
        tasks = [asyncio.ensure_future(batcher.render(scene)) for scene in scenes]
        for (picture, *_), made in zip(missing, tasks, strict=True):
            pixels = (await made)[0].pixels
            part = self._path(picture).with_suffix(".part")
            Image.fromarray(pixels).save(part, "PNG")
            part.replace(self._path(picture))

    def _path(self, picture: Picture) -> Path:
        return self._folder / f"{picture.name}.png"


def finished(prepared: Prepared, scene: U8, spec: ShotSpec) -> Finished:
    """The picture as the finisher makes it of a painted scene."""
    return finish(prepared, Painted(Render(scene, spec.seed), STAMP, {}), spec)
