"""What paints scenes, whatever it is: an engine whose scenes share steps, or a vendor's service."""

from __future__ import annotations

from typing import Protocol

from packshot.batching.clock import CallClock
from packshot.batching.scene_job import Progress, Rendered
from packshot.types import Scene

__all__ = ["Painter"]


class Painter(Protocol):
    """Paints scenes of several callers at once. Use it from one event loop."""

    max_rows: int
    """The most batch rows of a step, or the most calls at once. It may be changed at any time."""
    clock: CallClock
    """The times of its model's calls, by which a hung one is found."""

    async def render(
        self,
        scene: Scene,
        progress: Progress | None = None,
        *,
        preview_every_s: float = 0.0,
        interactive: bool = True,
        alone: bool = False,
    ) -> Rendered:
        """Return the painted scene, as `RenderBatcher.render` says. Cancelling the caller drops the scene."""
        ...
