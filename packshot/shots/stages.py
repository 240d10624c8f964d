"""The stages that a shot passes through, and the values that travel between them.

layout's files -> prepare -> Fitted ----> edges, paint -> Painted -> finish -> Finished
                          `> Prepared ----------------------------------^
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol

from packshot.contract.recipe import EngineStamp
from packshot.contract.shot_spec import Canvas, ShotSpec
from packshot.contract.verdict import Verdict
from packshot.shots.layout import LayoutFiles
from packshot.types import U8, Brief, Flat, Render


@dataclass(frozen=True)
class Prepared:
    """A layout at the canvas's size: what a render is composited with.

    `enlarged_by`: how many times the product's pixels were enlarged, of the layer with the most.
    """

    flat: Flat
    enlarged_by: float


@dataclass(frozen=True)
class Fitted:
    """The same layout at the engine's size: what conditions are computed from and what the engine paints around.

    `product`: uint8 HxWx3 RGB, the layout over neutral grey. `repaint`: uint8 HxW, 255 = repaint.
    """

    flat: Flat
    product: U8
    repaint: U8


@dataclass(frozen=True)
class Placed:
    """A prepared layout as the flow holds it: two references that only stages read, and what the flow must know.

    `covered`: whether the product covers the canvas, so that nothing is to be painted. `prepared`, `fitted`: a Prepared
    and a Fitted, or references to them.
    """

    covered: bool
    prepared: Any
    fitted: Any


@dataclass(frozen=True)
class Step:
    """How far one picture is. `preview`: uint8 HxWx3 RGB, small, now and then."""

    index: int
    steps: int
    preview: U8 | None = None


@dataclass(frozen=True)
class Painted:
    """A finished scene, which engine painted it, and what each stage took in milliseconds."""

    render: Render
    engine: EngineStamp
    timing_ms: dict[str, float]


@dataclass(frozen=True)
class Finished:
    """A finished picture as a PNG, what inspection found, and how long finishing took in milliseconds."""

    png: bytes
    width: int
    height: int
    verdict: Verdict
    finish_ms: float


class Stages(Protocol):
    """The stages that the flow drives. Values of type Any may be references: the flow only passes them on."""

    def size_for(self, canvas: Canvas) -> tuple[int, int]:
        """(width, height) at which the engine paints for this canvas."""
        ...

    async def prepare(self, files: LayoutFiles, size: tuple[int, int]) -> Placed:
        """Cut and place the product, at the canvas's size and at `size` (width, height)."""
        ...

    def edges(self, fitted: Any) -> Any:
        """Canny edges of a layout at the engine's size."""
        ...

    def paint(
        self, fitted: Any, edges: Any, brief: Brief, *, interactive: bool, alone: bool
    ) -> AsyncIterator[Step | Painted]:
        """Paint one scene: steps as they come, then one Painted. Closing the iterator cancels the rendering.

        `interactive`: a person waits. `alone`: run unbatched, because this shot may have crashed a replica.
        """
        ...

    async def finish(self, prepared: Any, painted: Painted, spec: ShotSpec) -> Finished:
        """Put the product into the painted scene."""
        ...

    async def finish_plain(self, files: LayoutFiles, spec: ShotSpec) -> Finished:
        """The picture on a plain background, or of nothing but product."""
        ...
