"""What the API needs of the graph: one protocol, so that its tests need no cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from packshot.contract.engines import EngineInfo
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
