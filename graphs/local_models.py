"""The models of the graph in one process: each network is loaded when it is first needed, and one thread runs all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from packshot.contract.recipe import EngineStamp
from packshot.errors import BadInput
from packshot.models.detect import NOT_HERE
from packshot.models.device import model_thread, pick_device, pick_dtype
from packshot.models.packs.pack import Pack
from packshot.settings import Settings
from packshot.shots.segmented import new_mask
from packshot.store.records import NewMask
from packshot.types import Cutout, Embedding, Found, Photo, Prompts, Understanding, Words

if TYPE_CHECKING:
    import torch

    from packshot.models.detect.detector import Detector
    from packshot.models.engines.loading import PackEngine
    from packshot.models.engines.remote.painter import RemotePainter
    from packshot.models.segment.segmenter import SamDecoder, SamEncoder
    from packshot.models.understand.understander import Understander

__all__ = ["Models"]

Result = TypeVar("Result")


class Models:
    """The pack's networks, each loaded at its first use. Use them in `thread` only, which runs all kernels.

    `freeze` traces small networks at their first step.
    """

    def __init__(self, pack: Pack, settings: Settings, *, freeze: bool) -> None:
        self._pack = pack
        self._settings = settings
        self._freeze = freeze

    @cached_property
    def thread(self) -> ThreadPoolExecutor:
        import torch

        return model_thread(torch.get_num_threads())

    @cached_property
    def _placed(self) -> tuple[torch.device, torch.dtype]:
        device = pick_device(self._settings.device)
        return device, pick_dtype(device, self._settings.dtype)

    @cached_property
    def segmenter(self) -> tuple[SamEncoder, SamDecoder]:
        """The two parts of the pack's segmenter."""
        from packshot.models.segment.segmenter import load_segmenter

        return load_segmenter(self._pack, *self._placed)

    @cached_property
    def understander(self) -> Understander:
        """What the pack knows of a product's geometry and material."""
        from packshot.models.understand.geometry import load_geometry
        from packshot.models.understand.understander import Understander

        return Understander(load_geometry(self._pack, *self._placed, encoder=self.segmenter[0]))

    @cached_property
    def detector(self) -> Detector | None:
        """What finds the products that words name; None when the pack has none."""
        from packshot.models.detect.detector import load_detector

        return load_detector(self._pack, *self._placed)

    @cached_property
    def engine(self) -> PackEngine:
        """The pack's engine."""
        from packshot.models.engines.loading import load_engine

        return load_engine(self._pack, *self._placed, freeze=self._freeze)

    @property
    def remote(self) -> bool:
        """Whether a vendor's service paints, so that there is no engine to load."""
        return self._pack.manifest.endpoint is not None

    def remote_painter(self) -> RemotePainter:
        """The painter that calls the vendor's service."""
        from packshot.models.engines.remote.painter import open_painter

        return open_painter(self._pack, self._settings)

    @cached_property
    def stamp(self) -> EngineStamp:
        """What a picture's recipe says about the engine."""
        if self.remote:
            return self.remote_painter().stamp
        device, dtype = self._placed
        hashes = self._pack.hashes(self._pack.engine_roles)
        return EngineStamp(pack=hashes, dtype=str(dtype).removeprefix("torch."), device=device.type)

    def encode(self, photo: Photo) -> Embedding:
        """The photo's embedding."""
        [embedding] = self.segmenter[0].encode([photo])
        return embedding

    def understand(self, cutouts: Sequence[Cutout]) -> list[Understanding]:
        """What is known of each product, in order."""
        return self.understander.understand(cutouts)

    def find(self, seen: Photo | Embedding, words: Words) -> Found:
        """What the words name. Raises BadInput `not_served` when the pack has no detector."""
        from packshot.models.detect.detector import find_named

        if self.detector is None:
            raise BadInput("not_served", NOT_HERE)
        [found] = find_named(self.detector, [(seen, words)])
        return found

    def segment(self, embedding: Embedding, prompts: Prompts) -> tuple[NewMask, ...]:
        """The masks that the prompts mark, best first."""
        [candidates] = self.segmenter[1].decode([(embedding, prompts)])
        return tuple(new_mask(candidate) for candidate in candidates)

    async def run(self, call: Callable[..., Result], *args: object) -> Result:
        """Run a call in the models' thread."""
        return await asyncio.get_running_loop().run_in_executor(self.thread, call, *args)
