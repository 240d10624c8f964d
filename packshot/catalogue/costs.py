"""What a catalogue's pictures cost: measured on the pictures that were painted before, or assumed."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median
from typing import Literal

from packshot.catalogue.plan import TEXT_S, Costs
from packshot.contract.engines import EngineInfo
from packshot.models.packs.framing import row_steps
from packshot.store.records import ShotRecord

__all__ = ["COMPOSED_S", "MIN_SHOTS", "PICTURE_S", "ROW_STEP_S", "costs_of"]

MIN_SHOTS = 3
"""So many shots must have been painted before their times count."""

ROW_STEP_S = 0.04
PICTURE_S = 0.2
COMPOSED_S = 0.17
"""Seconds that are assumed before something was painted: those that the autoscaling policy assumes."""


def costs_of(engine: EngineInfo, shots: Iterable[ShotRecord]) -> tuple[Costs, Literal["measured", "assumed"]]:
    """The costs of an engine's pictures, and where they come from. `shots` are shots that have ended.

    The median of the shots counts. A shot that shared its steps with others took longer than alone, so a busy server
    is estimated too high rather than too low.
    """
    texts_s: list[float] = []
    steps_s: list[float] = []
    pictures_s: list[float] = []
    composed_s: list[float] = []
    for shot in shots:
        times = [
            {name: ms / image.recipe.paintings for name, ms in image.recipe.timing_ms.items()} for image in shot.images
        ]
        if shot.spec.engine != engine.name or not times:
            continue
        texts_s += [time["text"] / 1000 for time in times if "text" in time]
        finish_ms = max(time.get("finish", 0.0) for time in times)
        work = row_steps(shot.spec, engine)
        if not work:
            composed_s.append(finish_ms / 1000)
            continue
        steps_s.append(max(time.get("steps", 0.0) for time in times) / 1000 / work)
        pictures_s.append(max(time.get("begin", 0.0) + time.get("decode", 0.0) for time in times) / 1000)
    if len(steps_s) < MIN_SHOTS or not median(steps_s):
        return Costs(engine, ROW_STEP_S, PICTURE_S, COMPOSED_S), "assumed"
    text = median(texts_s) if len(texts_s) >= MIN_SHOTS else TEXT_S
    composed = median(composed_s) if len(composed_s) >= MIN_SHOTS else COMPOSED_S
    return Costs(engine, median(steps_s), median(pictures_s), composed, text), "measured"
