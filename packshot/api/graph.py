"""The protocol through which the API uses the graph. Tests of the API implement it without a cluster."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from packshot.contract.engines import EngineInfo
from packshot.contract.set_report import SetReport
from packshot.delivery.deliver import Delivered
from packshot.models.adapters.base import AdapterFit
from packshot.models.adapters.file import AdapterFile
from packshot.models.engines.prompt_words import PromptReading
from packshot.shots.cutouts import CutoutFiles
from packshot.shots.finish import THUMBNAIL_PX
from packshot.shots.pictures import FoundStyle, PictureFile
from packshot.shots.stages import DeliveryOrder, Examined, Region, RegionOrder
from packshot.store.records import NewMask, PhotoRecord
from packshot.types import Found, Prompts, Stroke, Words


@dataclass(frozen=True)
class Segmented:
    """The result of a click.

    `masks` are the candidates, best first. `timing_ms` holds the milliseconds of `queue`, `encode` and `decode`.
    """

    masks: tuple[NewMask, ...]
    timing_ms: dict[str, float]


UNSIGNED = "unsigned"
"""The key id of a graph that signs nothing."""


class Graph(Protocol):
    """What the API calls on the graph."""

    @property
    def signing_key_id(self) -> str:
        """The id of the key that signs delivered files."""
        ...

    async def ready(self) -> bool:
        """Return whether every stage answers."""
        ...

    async def segment(self, photo: PhotoRecord, prompts: Prompts, base_key: str | None) -> Segmented:
        """Return masks for the prompts. Cancelling the call cancels the click, not an encode that others share.

        `base_key` names the asset of an earlier mask, which the prompts improve; None starts anew.
        """
        ...

    @property
    def finds_words(self) -> bool:
        """Whether a detector is served."""
        ...

    def read_words(self, text: str) -> tuple[list[str], list[str]]:
        """Return the words of a text that the detector would look for, and those that it would ignore.

        It reads a file on the first call, and wakes no replica. A detector that reads any words ignores none, and so
        does one whose files are not on this machine.
        """
        ...

    def read_prompt(
        self, engine: str, prompt: str, triggers: Collection[str] = (), learned: Collection[str] = ()
    ) -> PromptReading:
        """Return how an engine would read a prompt (`PromptWords.read`). It wakes no replica."""
        ...

    async def find(self, photo: PhotoRecord, words: Words) -> Found:
        """Return what the words name in the photo. Raises BadInput `not_served` when no detector is served."""
        ...

    async def paint(self, photo: PhotoRecord, base_key: str | None, strokes: tuple[Stroke, ...]) -> NewMask:
        """Return the mask after brush strokes.

        `base_key` names the asset of the mask that is painted on; None is an empty mask. Raises BadInput `mask_empty`
        when no product pixel is left.
        """
        ...

    async def mask_agrees(self, mask_key: str, points: tuple[tuple[float, float, int], ...]) -> bool:
        """Return whether all points (x, y, label) with label 1 lie on the mask's product, and no others do."""
        ...

    async def mask_png(self, mask_key: str, longest_px: int | None = None) -> bytes:
        """Return a stored mask as an 8-bit PNG, reduced to `longest_px` if given. `mask_key` names its asset."""
        ...

    async def cutout(self, files: CutoutFiles) -> bytes:
        """Return the product as an RGBA PNG, the part `cutout_bbox` of the photo. It is made once and kept."""
        ...

    async def thumbnail(self, image_key: str, longest_px: int = THUMBNAIL_PX) -> bytes:
        """Return a small copy of a stored picture, a PNG of at most `longest_px`."""
        ...

    async def examine(self, png: bytes) -> Examined:
        """Return what the pixels of a decoded file say of where it comes from. `png` is a NormalisedPhoto's."""
        ...

    async def read_style(self, files: tuple[PictureFile, ...]) -> FoundStyle:
        """Return the palette and the light of reference pictures. Raises NotFound when a file was deleted."""
        ...

    async def report_png(self, report: SetReport, image_keys: Mapping[str, str]) -> bytes:
        """Draw a set report as a PNG. `image_keys` names the assets of the outliers' pictures, by image id."""
        ...

    async def region(self, order: RegionOrder) -> Region:
        """Return the drawn region of a touch-up.

        Raises BadInput `region_empty` and `region_product`, and NotFound when a file of the layout was deleted.
        """
        ...

    async def deliver(self, order: DeliveryOrder) -> Delivered:
        """Convert an image to a channel's file.

        Raises BadInput `preset_unmet` when it cannot meet a rule of the preset, and `not_served` when it would have to
        be painted anew. Raises Unavailable `signing_unavailable` when the signing key does not answer.
        """
        ...

    async def check_adapter(self, engine: str, file: AdapterFile) -> AdapterFit:
        """Return how an adapter fits an engine. Raises BadInput `adapter_mismatch` when it does not."""
        ...

    @property
    def trains(self) -> bool:
        """Whether trainings are served."""
        ...

    async def check_training(self, engine: str, tag: str) -> None:
        """Raise BadInput `engine_cannot` when an engine cannot be trained, and `tag_refused` when it knows the tag."""
        ...

    def submitted(self) -> None:
        """Start a director call for a shot that was committed to the store.

        Returns at once. The director call continues when the request that caused it is cancelled.
        """
        ...

    async def wait_for_any_completion(self, timeout_s: float) -> None:
        """Return when any shot `submitted` by this process has ended, or after `timeout_s` seconds."""
        ...

    def engines(self) -> tuple[EngineInfo, ...]:
        """Return the engines served. The first one is the default."""
        ...

    async def metrics(self) -> str:
        """Return the `packshot_*` metrics of this gateway's node as Prometheus text, and the queue's gauges."""
        ...
