"""`python -m tests.gateway_process PORT`: the API in this process, and its decoder in another one, as in a cluster."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import uvicorn
from prometheus_client import CollectorRegistry

from packshot.api.app import create_app
from packshot.api.decoding import StoredPhoto, decode_upload, photo_decoder
from packshot.delivery.provenance import C2paFound
from packshot.imaging.decoding.photo_decoder import PhotoDecoder
from packshot.imaging.decoding.results import NormalisedPhoto, UploadedMask
from packshot.settings import Settings
from packshot.shots.finish import Finisher
from packshot.store.assets import Assets
from packshot.store.records import UploadRecord
from packshot.store.store import Store
from tests.api_graph import BoxGraph

_parts: list[tuple[PhotoDecoder, Assets]] = []


def open_parts() -> None:
    settings = Settings()
    _parts.append((photo_decoder(settings), Assets(settings.asset_root)))


def normalise(data: bytes, claimed_type: str | None) -> NormalisedPhoto:
    return _parts[0][0].normalise(data, claimed_type)


def normalise_upload(upload: UploadRecord) -> StoredPhoto:
    return decode_upload(*_parts[0], upload)


def read_mask(data: bytes, width: int, height: int) -> UploadedMask:
    return _parts[0][0].read_mask(data, width, height)


def read_manifest(data: bytes, anchors: str) -> C2paFound:
    return _parts[0][0].read_manifest(data, anchors)


class OtherProcess:
    """The API's `Decoder` in another process."""

    at_once = 8

    def __init__(self) -> None:
        self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=open_parts)

    async def normalise(self, data: bytes, claimed_type: str | None) -> NormalisedPhoto:
        return await asyncio.get_running_loop().run_in_executor(self._pool, normalise, data, claimed_type)

    async def normalise_upload(self, upload: UploadRecord) -> StoredPhoto:
        return await asyncio.get_running_loop().run_in_executor(self._pool, normalise_upload, upload)

    async def read_mask(self, data: bytes, width: int, height: int) -> UploadedMask:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, read_mask, data, width, height)

    async def read_manifest(self, data: bytes, anchors: str) -> C2paFound:
        return await asyncio.get_running_loop().run_in_executor(self._pool, read_manifest, data, anchors)


def main() -> None:
    settings = Settings()
    store = Store.from_settings(settings)
    graph = BoxGraph(CollectorRegistry(), Finisher(store.assets))
    app = create_app(store=store, graph=graph, decoder=OtherProcess(), settings=settings)
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error")


if __name__ == "__main__":
    main()
