"""What the API needs of the graph: one protocol, so that its tests need no cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from packshot.contract.engines import EngineInfo
from packshot.delivery.deliver import Delivered, Preset
from packshot.shots.layout import LayoutFiles
from packshot.store.records import NewMask, PhotoRecord
from packshot.types import Prompts


@dataclass(frozen=True)
class Segmented:
    """Answer to a click: candidates best first, and the stages' own times in milliseconds (queue, encode, decode)."""

    masks: tuple[NewMask, ...]
    timing_ms: dict[str, float]


class Graph(Protocol):
    """The graph as the API sees it."""

    async def ready(self) -> bool:
        """Whether every stage answers."""
        ...

    async def segment(self, photo: PhotoRecord, prompts: Prompts) -> Segmented:
        """Masks for what a person pointed at. Cancelling the call cancels the click, never a shared encode."""
        ...

    async def mask_png(self, mask_key: str) -> bytes:
        """A kept mask as an 8-bit PNG; `mask_key` names its asset."""
        ...

    async def cutout(self, photo_key: str, mask_key: str) -> bytes:
        """The product as an RGBA PNG, cropped to it."""
        ...

    async def deliver(
        self, image_key: str, layout: LayoutFiles | None, preset: Preset, *, generated: bool
    ) -> Delivered:
        """A finished picture as a channel's file. Raises BadInput (preset_unmet).

        `layout`: the picture's own; None once a mask or photo of it was deleted. `generated`: an engine painted the
        scene.
        """
        ...

    def submitted(self) -> None:
        """Say that a shot was committed to the store; returns at once, outlives the request that called it."""
        ...

    async def wait_for_any_completion(self, timeout_s: float) -> None:
        """Return when any shot that was `submitted` here has ended, or when the time is up: look at the store then."""
        ...

    def engines(self) -> tuple[EngineInfo, ...]:
        """The engines served. The first one is the default."""
        ...

    async def metrics(self) -> str:
        """The whole cluster's `packshot_*`, as Prometheus text."""
        ...
