"""Painting one scene, by an engine or a vendor: a fitted layout in, its steps as they come, and the render last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from packshot.adapters import SceneAdapter
from packshot.batching import Painter, Rendered
from packshot.references import References
from packshot.shots.stages import Fitted, Step
from packshot.types import Brief, ConditionMaps, EdgeMap, Scene

__all__ = ["paint_scene", "scene_of"]

PREVIEW_EVERY_S = 2.0
"""Shortest time between two previews of a scene, seconds."""


def scene_of(
    fitted: Fitted,
    edges: EdgeMap | None,
    brief: Brief,
    maps: ConditionMaps | None,
    references: References | None,
    adapters: tuple[SceneAdapter, ...],
) -> Scene:
    """What an engine paints, from the answers of the stages before it. None = the shot has none of that."""
    return Scene(
        fitted.product,
        fitted.repaint,
        edges or EdgeMap.none(fitted.repaint),
        brief,
        maps or ConditionMaps(),
        fitted.kept,
        references,
        adapters,
    )


async def paint_scene(
    painter: Painter, scene: Scene, *, interactive: bool, alone: bool
) -> AsyncGenerator[Step | Rendered, None]:
    """Yield each step of a scene, then the painted scene. Closing the iterator drops the scene at its next step.

    `interactive` and `alone` are those of `RenderBatcher.render`.
    """
    reported: asyncio.Queue[Step | None] = asyncio.Queue()
    rendering: asyncio.Task[Rendered] = asyncio.create_task(
        painter.render(
            scene,
            lambda index, steps, preview: reported.put_nowait(Step(index, steps, preview)),
            preview_every_s=PREVIEW_EVERY_S,
            interactive=interactive,
            alone=alone,
        )
    )
    rendering.add_done_callback(lambda _: reported.put_nowait(None))
    try:
        while (step := await reported.get()) is not None:
            yield step
        yield await rendering
    finally:
        rendering.cancel()
