"""The models of the graph in one process: each network is loaded when it is first needed, and one thread runs all.

Several engines may be loaded. Before one is loaded for which there is no memory, those that paint nothing are dropped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from packshot.contract.recipe import EngineStamp
from packshot.errors import BadInput
from packshot.models.detect import NOT_HERE
from packshot.models.device import model_thread, pick_device, pick_dtype
from packshot.models.packs.pack import Pack
from packshot.settings import Settings
from packshot.shots.segmented import new_mask
from packshot.store.records import NewMask
from packshot.types import F32, U8, Cutout, Embedding, Found, Photo, Prompts, Understanding, Words

if TYPE_CHECKING:
    import torch

    from packshot.models.adapters.file import AdapterFile
    from packshot.models.detect.detector import Detector
    from packshot.models.engines.loading import PackEngine
    from packshot.models.engines.remote.painter import RemotePainter
    from packshot.models.references.encoder import PictureEncoder
    from packshot.models.segment.segmenter import SamDecoder, SamEncoder
    from packshot.models.understand.understander import Understander

__all__ = ["Models"]

Result = TypeVar("Result")

log = logging.getLogger(__name__)

LOADING = 2.5
"""Memory that an engine may need / the bytes of its files: files of fp16 become fp32 on a CPU, and steps need some."""


class Models:
    """The networks of several packs, each loaded at its first use. Use them in `thread` only, which runs all kernels.

    `segmenter` is the pack that finds and cuts products, `detector` the one that finds them by words, and `geometry`
    the one that understands them. `engines` are the packs of the engines by name, the default first. `freeze` traces
    small networks at their first step.
    """

    def __init__(
        self,
        segmenter: Pack,
        engines: Mapping[str, Pack],
        settings: Settings,
        *,
        geometry: Pack,
        detector: Pack,
        freeze: bool,
    ) -> None:
        self._pack = segmenter
        self._geometry = geometry
        self._names = detector
        self._packs = dict(engines)
        self._loaded: dict[str, PackEngine] = {}
        self._encoders: dict[str, PictureEncoder] = {}
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

        encoder = self.segmenter[0] if self._geometry.name == self._pack.name else None
        return Understander(load_geometry(self._geometry, *self._placed, encoder=encoder))

    @property
    def sees_scenes(self) -> bool:
        """Whether the geometry's pack knows the depth of whole pictures."""
        return self._geometry.manifest.sees_scenes

    @cached_property
    def detector(self) -> Detector | None:
        """What finds the products that words name; None when the pack has none."""
        from packshot.models.detect.detector import load_detector

        return load_detector(self._names, *self._placed)

    def picture_encoder(self, name: str) -> PictureEncoder:
        """What embeds reference pictures for the engine of the pack `name`."""
        from packshot.models.references.encoder import load_picture_encoder

        if name not in self._encoders:
            self._encoders[name] = load_picture_encoder(self._packs[name], *self._placed)
        return self._encoders[name]

    def engine(self, name: str, busy: Collection[str] = ()) -> PackEngine:
        """The engine of the pack `name`. Engines that are not `busy` are dropped when it would not fit beside them."""
        from packshot.models.engines.loading import load_engine

        if name not in self._loaded:
            for other in [other for other in self._loaded if other not in busy]:
                if self._fits(self._packs[name]):
                    break
                log.info("dropped the engine %s, so that %s has memory", other, name)
                del self._loaded[other]
                _free_memory()
            self._loaded[name] = load_engine(self._packs[name], *self._placed, freeze=self._freeze)
        return self._loaded[name]

    def load_adapter(self, name: str, file: AdapterFile) -> Any:
        """Put a read adapter on the device, for the engine of the pack `name`."""
        return self.engine(name, self.loaded).load_adapter(file)

    @property
    def loaded(self) -> tuple[str, ...]:
        """The names of the engines that are loaded now, in the order in which they were."""
        return tuple(self._loaded)

    def _fits(self, pack: Pack) -> bool:
        """Whether the device has memory for the pack's engine now."""
        files = [path for role in pack.engine_roles for path in pack.paths(role).values()]
        return free_bytes(self._placed[0].type) > LOADING * sum(path.stat().st_size for path in files)

    def remote(self, name: str) -> bool:
        """Whether a vendor's service paints with the pack `name`, so that there is no engine to load."""
        return self._packs[name].manifest.endpoint is not None

    def remote_painter(self, name: str) -> RemotePainter:
        """The painter that calls the vendor's service of the pack `name`."""
        from packshot.models.engines.remote.painter import open_painter

        return open_painter(self._packs[name], self._settings)

    def stamp(self, name: str) -> EngineStamp:
        """What a picture's recipe says about the engine of the pack `name`."""
        if self.remote(name):
            return self.remote_painter(name).stamp
        device, dtype = self._placed
        pack = self._packs[name]
        hashes = pack.hashes(pack.engine_roles)
        return EngineStamp(pack=hashes, dtype=str(dtype).removeprefix("torch."), device=device.type)

    def encode(self, photo: Photo) -> Embedding:
        """The photo's embedding."""
        [embedding] = self.segmenter[0].encode([photo])
        return embedding

    def understand(self, cutouts: Sequence[Cutout]) -> list[Understanding]:
        """What is known of each product, in order."""
        return self.understander.understand(cutouts)

    def scene_depth(self, picture: U8) -> F32 | None:
        """The depth of a picture, if the pack knows it (`GeometryEstimator.scene_depth`)."""
        return self.understander.scene_depth(picture)

    def find(self, seen: Photo | Embedding, words: Words) -> Found:
        """What the words name. Raises BadInput `not_served` when the pack has no detector."""
        from packshot.models.detect.detector import find_named

        if self.detector is None:
            raise BadInput("not_served", NOT_HERE)
        [found] = find_named(self.detector, [(seen, words)])
        return found

    def encode_pictures(self, name: str, pictures: Sequence[U8]) -> list[F32]:
        """The vectors of reference pictures for the engine of the pack `name`, in order."""
        return self.picture_encoder(name).encode(pictures)

    def segment(self, embedding: Embedding, prompts: Prompts) -> tuple[NewMask, ...]:
        """The masks that the prompts mark, best first."""
        [candidates] = self.segmenter[1].decode([(embedding, prompts)])
        return tuple(new_mask(candidate) for candidate in candidates)

    async def run(self, call: Callable[..., Result], *args: object) -> Result:
        """Run a call in the models' thread."""
        return await asyncio.get_running_loop().run_in_executor(self.thread, call, *args)


def free_bytes(device: str) -> float:
    """The memory of the device that is free, in bytes. On a system that does not say, it is taken for enough."""
    if device == "cuda":
        import torch

        return float(torch.cuda.mem_get_info()[0])
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return float("inf")
    return next((float(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), float("inf"))


def _free_memory() -> None:
    """Give the memory of dropped networks back."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
