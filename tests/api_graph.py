"""Support for tests of the API: a `Graph` without a cluster, and the whole app behind a real local server.

The store (SQLite), the codec, the finisher and the HTTP server are real. Only the graph is replaced: its segmenter
returns the box, or a square around the point, as the product.
"""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvicorn
from PIL import Image
from prometheus_client import CollectorRegistry, generate_latest

from packshot.api.app import create_app
from packshot.api.decoding import LocalDecoder
from packshot.api.graph import UNSIGNED, Segmented
from packshot.contract.engines import EngineCapabilities, EngineInfo, SamplingDefaults, SamplingLimits
from packshot.contract.set_report import SetReport
from packshot.contract.verdict import Verdict
from packshot.delivery.deliver import Delivered
from packshot.delivery.delivered_lock import with_product
from packshot.delivery.signing import load_signer
from packshot.imaging.canvas import cutout_bbox
from packshot.imaging.codec import encode_bilevel_png, encode_png, read_png
from packshot.meter import PrometheusMeter
from packshot.models.adapters.base import AdapterFit, check_base
from packshot.models.adapters.file import AdapterFile
from packshot.models.engines.prompt_words import PromptReading, PromptWords
from packshot.models.packs.pack import find_pack
from packshot.settings import Settings
from packshot.shots import CutoutFiles, DeliveryOrder, Finisher
from packshot.shots.finish import THUMBNAIL_PX
from packshot.shots.layout import draw_layout, find_layout
from packshot.shots.pictures import FoundStyle, PictureFile
from packshot.shots.stages import Examined, Region, RegionOrder
from packshot.store.records import Claim, NewImage, NewMask, PhotoRecord
from packshot.store.store import Store
from packshot.training.jobs.check import check_training
from packshot.types import Detection, Found, Mask, Prompts, Stroke, Words
from tests.migrated import migrated_home
from tests.specs import recipe_of
from tests.waiting import WAIT_S

ENGINES = tuple(
    EngineInfo(
        name=name,
        title=name.title(),
        family="mini",
        licence="Apache-2.0",
        commercial=True,
        renderable=True,
        reason="",
        native_px=(256, 256),
        buckets=((256, 256),),
        prediction_type="v_prediction",
        defaults=SamplingDefaults(prompt="", steps=16, guidance_scale=2.5, control_scale=0.9, guidance_rescale=0.7),
        limits=SamplingLimits(max_steps=100, max_guidance_scale=20.0, max_control_scale=2.0),
        capabilities=EngineCapabilities(
            controls=("canny", "depth", "normal"), references=2, samplers=("ddim", "euler"), adapters=4, decoder_scale=2
        )
        if name == "second"
        else EngineCapabilities(),
        licences={},
    )
    for name in ("mini", "second")
)


class BoxGraph:
    """A `Graph` whose segmenter needs no model. Clicks wait until `hold` is set.

    `shown` maps each word that its detector knows to what it finds; `finds_words` is whether it has a detector.
    """

    def __init__(self, registry: CollectorRegistry, finisher: Finisher) -> None:
        self.finisher = finisher
        self.is_ready = True
        self.submissions = 0
        self.deliveries = 0
        self.base_keys: list[str | None] = []
        self.broken: Exception | None = None
        self.shown: dict[str, tuple[Detection, ...]] = {}
        self.finds_words = True
        self.trains = True
        self.signing_key_id = UNSIGNED
        self.clicks_held = False
        self.clicks_begun = threading.Event()
        self.clicks_cancelled = threading.Event()
        self._registry = registry
        self._prompt_words = PromptWords(dict.fromkeys((one.name for one in ENGINES), find_pack("mini", Settings())))

    async def ready(self) -> bool:
        return self.is_ready

    async def segment(self, photo: PhotoRecord, prompts: Prompts, base_key: str | None) -> Segmented:
        self.base_keys.append(base_key)
        if self.broken is not None:
            raise self.broken
        if self.clicks_held:
            self.clicks_begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.clicks_cancelled.set()
                raise
        x0, y0, x1, y1 = 0.0, 0.0, float(photo.width), float(photo.height)
        if prompts.boxes:
            x0, y0, x1, y1 = prompts.boxes[0]
        elif prompts.points:
            x, y, _ = prompts.points[0]
            x0, y0, x1, y1 = max(0, x - 10), max(0, y - 10), x + 10, y + 10
        pixels = np.zeros((photo.height, photo.width), np.uint8)
        pixels[int(y0) : int(y1), int(x0) : int(x1)] = 255
        mask = Mask(pixels)
        scores = (0.9, 0.7, 0.5) if prompts.multimask else (0.9,)
        masks = tuple(
            NewMask(
                score,
                mask.area_px,
                mask.bbox_xyxy,
                encode_bilevel_png(pixels),
                lock_px=2,
                cutout_bbox_xyxy=cutout_bbox(mask, 2),
            )
            for score in scores
        )
        return Segmented(masks, {"queue": 0.5, "encode": 3.0, "decode": 1.0})

    def read_words(self, text: str) -> tuple[list[str], list[str]]:
        known = [word for word in text.split() if word in self.shown]
        return known, [word for word in text.split() if word not in self.shown]

    def read_prompt(
        self, engine: str, prompt: str, triggers: Collection[str] = (), learned: Collection[str] = ()
    ) -> PromptReading:
        return self._prompt_words.read(engine, prompt, triggers, learned)

    async def find(self, photo: PhotoRecord, words: Words) -> Found:
        if self.broken is not None:
            raise self.broken
        known, unknown = map(tuple, self.read_words(words.text))
        left = [one for word in known for one in self.shown[word] if one not in self.shown.get(words.not_text, ())]
        return Found(tuple(sorted(left, key=lambda one: -one.score)), known, unknown)

    async def paint(self, photo: PhotoRecord, base_key: str | None, strokes: tuple[Stroke, ...]) -> NewMask:
        return await asyncio.to_thread(self.finisher.paint, base_key, (photo.width, photo.height), strokes)

    async def mask_agrees(self, mask_key: str, points: tuple[tuple[float, float, int], ...]) -> bool:
        return await asyncio.to_thread(self.finisher.mask_agrees, mask_key, points)

    async def mask_png(self, mask_key: str, longest_px: int | None = None) -> bytes:
        return await asyncio.to_thread(self.finisher.mask_png, mask_key, longest_px)

    async def cutout(self, files: CutoutFiles) -> bytes:
        return await asyncio.to_thread(self.finisher.cutout_png, files)

    async def thumbnail(self, image_key: str, longest_px: int = THUMBNAIL_PX) -> bytes:
        return await asyncio.to_thread(self.finisher.thumbnail, image_key, longest_px)

    async def examine(self, png: bytes) -> Examined:
        return await asyncio.to_thread(self.finisher.examine, png)

    async def read_style(self, files: tuple[PictureFile, ...]) -> FoundStyle:
        return await asyncio.to_thread(self.finisher.read_style, files)

    async def report_png(self, report: SetReport, image_keys: Mapping[str, str]) -> bytes:
        return await asyncio.to_thread(self.finisher.report_png, report, image_keys)

    async def region(self, order: RegionOrder) -> Region:
        return await asyncio.to_thread(self.finisher.region, order)

    async def deliver(self, order: DeliveryOrder) -> Delivered:
        self.deliveries += 1
        return await asyncio.to_thread(self.finisher.deliver, order)

    def submitted(self) -> None:
        self.submissions += 1

    async def wait_for_any_completion(self, timeout_s: float) -> None:
        await asyncio.sleep(min(timeout_s, 0.02))

    async def check_adapter(self, engine: str, file: AdapterFile) -> AdapterFit:
        return await asyncio.to_thread(check_base, file, find_pack("mini", Settings()))

    async def check_training(self, engine: str, tag: str) -> None:
        await asyncio.to_thread(check_training, find_pack("mini", Settings()), tag)

    def engines(self) -> tuple[EngineInfo, ...]:
        return ENGINES

    async def metrics(self) -> str:
        return generate_latest(self._registry).decode()


@dataclass
class Api:
    """A running server and its parts. `http` uses the `key` of the tenant `brand`; `stranger` is another tenant."""

    url: str
    http: httpx.Client
    stranger: httpx.Client
    anyone: httpx.Client
    key: str
    key_id: str
    store: Store
    graph: BoxGraph
    settings: Settings
    registry: CollectorRegistry
    _mask_id: str = ""
    _photos: dict[int, dict[str, Any]] = field(default_factory=dict)

    def photo(self, shade: int = 0) -> dict[str, Any]:
        """Upload a photo of 120 x 90 px."""
        if shade not in self._photos:
            self._photos[shade] = self.http.post(
                "/v1/photos", files={"file": ("a.png", png(shade=shade), "image/png")}
            ).json()
        return self._photos[shade]

    def mask(self) -> dict[str, Any]:
        """Make a new mask of 60 x 40 px of the photo."""
        answer = self.http.post(f"/v1/photos/{self.photo()['id']}/masks", json={"boxes": [[20, 20, 80, 60]]})
        return answer.json()["masks"][0]

    def request(self, **fields: Any) -> dict[str, Any]:
        """The smallest shot request, changed by `fields`. All such requests use the same mask."""
        self._mask_id = self._mask_id or self.mask()["id"]
        return {"layers": [{"mask_id": self._mask_id}], **fields}

    def shot(self, **fields: Any) -> str:
        """Create a shot and return its id."""
        answer = self.http.post("/v1/shots", json=self.request(**fields))
        assert answer.status_code == 202, answer.text
        return answer.json()["id"]

    def claim(self, shot_id: str) -> Claim:
        """Claim this shot. Shots of other tests that come before it in the queue are failed."""
        while (claim := self.store.queue.claim("worker")) is not None:
            if claim.shot_id == shot_id:
                return claim
            self.store.queue.fail(claim, "engine_failed", "left over by another test", retryable=False)
        raise AssertionError(f"{shot_id} does not wait")

    def commit(self, claim: Claim) -> None:
        """Commit a claimed shot with the requested number of pictures."""
        images = [
            NewImage(
                index=index,
                seed=claim.spec.seeds[index],
                width=96,
                height=96,
                png=self._picture(claim, index),
                verdict=Verdict(),
                recipe=recipe_of(claim.spec.seeds[index], claim.spec, queue=1, steps=2 + index, decode=1),
            )
            for index in range(claim.spec.images)
        ]
        self.store.queue.commit(claim, images)

    def _picture(self, claim: Claim, index: int) -> bytes:
        """A picture of 96 x 96 px. It shows the shot's product if the canvas has this size, as a delivery checks."""
        drawn = png(96, 96, shade=index)
        if (claim.spec.canvas.width, claim.spec.canvas.height) != (96, 96):
            return drawn
        layout, _ = draw_layout(self.store.assets, find_layout(self.store, claim.tenant, claim.spec))
        return encode_png(with_product(read_png(drawn), layout))

    def finish(self, shot_id: str) -> dict[str, Any]:
        """Claim and commit this shot, and return it as clients see it."""
        self.commit(self.claim(shot_id))
        return self.http.get(f"/v1/shots/{shot_id}").json()

    @property
    def tenant_id(self) -> str:
        tenant = self.store.keys.tenant_of(self.key)
        assert tenant is not None
        return tenant.id


def events_of(answer: httpx.Response) -> list[tuple[str, Any, str]]:
    """(name, data, id) of every event of a stream that has ended."""
    events = []
    for block in answer.text.replace("\r\n", "\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
        if fields:
            events.append((fields["event"], json.loads(fields["data"]), fields["id"]))
    return events


def code_of(answer: httpx.Response) -> tuple[int, str]:
    """(status, code) of a problem. Checks the problem's shape."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = answer.json()
    assert body["status"] == answer.status_code
    assert (
        {"type", "title", "status", "detail", "code"}
        <= set(body)
        <= {"type", "title", "status", "detail", "code", "errors", "state", "problems", "problems_total"}
    )
    assert answer.headers["x-request-id"]
    return answer.status_code, body["code"]


def png(width: int = 120, height: int = 90, *, shade: int = 0) -> bytes:
    """A PNG of a gradient. Each `shade` gives another picture."""
    columns = np.linspace(0, 200, width, dtype=np.uint8)
    pixels = np.broadcast_to(columns[None, :, None], (height, width, 3)).copy()
    pixels[..., 2] = shade
    return encode_png(pixels)


def jpeg(width: int = 120, height: int = 90) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 60)).save(out, "JPEG")
    return out.getvalue()


@contextmanager
def running(home: Path, *, studio_dir: Path | None = None, **changed: Any) -> Iterator[Api]:
    """The API on a free loopback port, with a new store in `home`."""
    if "database_url" not in changed:
        migrated_home(home)
    settings = Settings(home=home, max_body_bytes=512 * 1024, max_photo_bytes=1024 * 1024, **changed)
    registry = CollectorRegistry()
    store = Store.from_settings(settings)
    signer = load_signer(settings)
    graph = BoxGraph(registry, Finisher(store.assets, signer=signer))
    graph.signing_key_id = signer.key_id
    with closing(LocalDecoder(settings)) as decoder:
        listener = uvicorn.Config("", host="127.0.0.1", port=0).bind_socket()
        port = int(listener.getsockname()[1])
        app = create_app(
            store=store,
            graph=graph,
            decoder=decoder,
            settings=settings,
            meter=PrometheusMeter(registry),
            studio_dir=studio_dir,
        )
        server = uvicorn.Server(
            uvicorn.Config(
                app, log_level="warning", timeout_graceful_shutdown=1, timeout_keep_alive=75, ws="none", lifespan="off"
            )  # 5 s, as long as httpx keeps a connection, now and then closes one in the moment of its next request
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        url = f"http://127.0.0.1:{port}"
        new, other = store.keys.create("brand"), store.keys.create("stranger")
        try:
            with (
                httpx.Client(base_url=url, headers=_bearer(new.secret), timeout=WAIT_S, trust_env=False) as http,
                httpx.Client(base_url=url, headers=_bearer(other.secret), timeout=WAIT_S, trust_env=False) as stranger,
                httpx.Client(base_url=url, timeout=WAIT_S, trust_env=False) as anyone,
            ):
                yield Api(url, http, stranger, anyone, new.secret, new.record.id, store, graph, settings, registry)
        finally:
            server.should_exit = True
            thread.join()
            listener.close()
            store.close()


def _bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}
