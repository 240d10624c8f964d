"""Reference pictures -> what an engine follows: the image encoder's vectors, or pixels. Each is read once, then cached.

Only shots whose style shows pictures to the engine call it, so a profile may let its replicas sleep. Consistent hashing
of the first picture sends a style's shots to one replica, which has it in its cache.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ray import serve

from deployments.ray_support.calls import require_progress
from deployments.ray_support.context import stage
from deployments.ray_support.deaths import end_on_device_fault, leave_evidence
from deployments.ray_support.gpu import device_of_share
from deployments.ray_support.metrics import RayMeter
from deployments.ray_support.scale_to_zero import scale_to_zero
from packshot.models.device import model_thread, pick_dtype
from packshot.models.packs.pack import find_pack
from packshot.references import References
from packshot.settings import Settings
from packshot.shots.pictures import PictureFile
from packshot.shots.references import ReferenceReader
from packshot.store.assets import Assets
from packshot.types import F32, U8

if TYPE_CHECKING:
    from packshot.models.references.encoder import PictureEncoder


@serve.deployment(**scale_to_zero("reference_encoder", max_batch_size=8, by_session=True))
@stage("reference_encoder")
class ReferenceEncoderDeployment:
    """Reads reference pictures for all engines. A replica without a GPU share runs on the CPU.

    An engine's image encoder is loaded at its first picture. `threads` is the number of torch threads; 0 = torch's
    choice. `user_config`: `max_batch_size` is the largest number of pictures in one call.
    """

    def __init__(self, threads: int) -> None:
        leave_evidence()
        self._settings = Settings()
        self._thread = model_thread(threads, end_on_device_fault)
        self._meter = RayMeter()
        self._assets = Assets(self._settings.asset_root)
        self._readers: dict[str, ReferenceReader] = {}
        self._encoders: dict[str, PictureEncoder] = {}
        self._max_batch_size = 1

    def reconfigure(self, user_config: dict[str, int]) -> None:
        self._max_batch_size = user_config["max_batch_size"]
        for reader in self._readers.values():
            if reader.batcher is not None:
                reader.batcher.max_batch_size = self._max_batch_size

    async def read(
        self, files: tuple[PictureFile, ...], strength: float, engine: str
    ) -> AsyncIterator[int | References]:
        """Yield how many pictures were read, then the references, for an engine.

        These are two responses of one call, so that the caller waits for the first and passes the other by reference.
        """
        references = await self._reader(engine).of(files, strength)
        yield len(references.pictures)
        yield references

    def check_health(self) -> None:
        for reader in self._readers.values():
            if reader.batcher is not None:
                require_progress("reference_encoder", reader.batcher.clock)

    def _reader(self, engine: str) -> ReferenceReader:
        if engine not in self._readers:
            embeds = find_pack(engine, self._settings).references == "embedding"
            self._readers[engine] = ReferenceReader(
                self._assets,
                partial(self._encode, engine) if embeds else None,
                max_batch_size=self._max_batch_size,
                thread=self._thread,
            )
        return self._readers[engine]

    def _encode(self, engine: str, pictures: Sequence[U8]) -> list[F32]:
        from packshot.models.references.encoder import load_picture_encoder

        if engine not in self._encoders:
            device = device_of_share(self._settings.device)
            dtype = pick_dtype(device, self._settings.dtype)
            self._encoders[engine] = load_picture_encoder(find_pack(engine, self._settings), device, dtype)
        self._meter.count("packshot_references_encoded_total", len(pictures))
        return self._encoders[engine].encode(pictures)
