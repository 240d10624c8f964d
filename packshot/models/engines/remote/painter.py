"""Paints scenes by calls of a vendor's service: the other `Painter`.

    Scene ──> kept answer? ──no──> a place ──> Egress ──> vendor ──> check, decode, keep ──> Render

A call is one picture. Nothing is tried again here: an error goes to the queue, which waits and runs the shot again, on
any machine. Every picture that came is kept for about an hour under a hash of what was asked for, so a shot that runs
again pays for no picture twice; the same hash is the vendor's idempotency key. A vendor that asks to wait gets no call
until then.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from dataclasses import replace

import numpy as np

from packshot.batching.clock import CallClock
from packshot.batching.scene_job import Progress, Rendered
from packshot.contract.recipe import EngineStamp
from packshot.contract.verdict import Finding
from packshot.errors import BadInput, NotFound, PackRefused, PackshotError, StorageFull, Unavailable
from packshot.imaging.codec import encode_png, read_png
from packshot.imaging.decoding.formats import sniff
from packshot.imaging.decoding.open_upload import open_whole
from packshot.meter import Meter, NoMeter
from packshot.models.engines.brief_limits import check_limits
from packshot.models.engines.remote.failures import error_of, error_of_answer, error_of_silence, wrong_answer
from packshot.models.engines.remote.key import read_key
from packshot.models.engines.remote.shapes import SHAPES, Edit, NoPicture, json_of
from packshot.models.packs.endpoint import Endpoint
from packshot.models.packs.pack import Pack
from packshot.settings import Settings
from packshot.store.asset_keys import answer_key
from packshot.store.assets import Assets
from packshot.types import U8, Render, Scene
from packshot.webhooks import Egress, NoReply

log = logging.getLogger(__name__)

__all__ = ["RemotePainter", "endpoint_of", "open_painter"]

FORMATS = ("png", "jpeg", "webp")
"""The formats of the pictures that are read."""
MAX_SIDE_PX = 4096
"""Longest side of a picture that is looked at; one of another size than asked for is not decoded."""


class RemotePainter:
    """Paints with the pack's endpoint. It needs neither torch nor a device.

    `settings` has the key. `egress` makes the calls, to public addresses only. `answers` keeps the pictures that came.
    `meter` counts the calls by their outcome. Raises PackRefused: pack_mismatch for a pack without an endpoint, and
    pack_key when the endpoint needs a key and there is none.
    """

    def __init__(
        self, pack: Pack, settings: Settings, *, egress: Egress, answers: Assets, meter: Meter | None = None
    ) -> None:
        self._pack = pack
        self._endpoint = endpoint_of(pack)
        self._settings = settings
        self._egress = egress
        self._answers = answers
        self._meter = meter or NoMeter()
        self._shape = SHAPES[self._endpoint.shape]
        self.max_rows = self._endpoint.in_flight
        self.clock = CallClock()  # times nothing: a call ends by itself after the endpoint's `timeout_s`
        self._called = self._people_wait = 0
        self._freed = asyncio.Condition()
        self._closed_until = 0.0
        self._closed_by: PackshotError | None = None
        read_key(pack, settings)  # a missing key is found when the replica starts

    @property
    def stamp(self) -> EngineStamp:
        """What a picture's recipe says about the engine. The manifest's hash covers the vendor's URL and model."""
        return EngineStamp(pack=self._pack.hashes(()), dtype="uint8", device="remote")

    async def render(
        self,
        scene: Scene,
        progress: Progress | None = None,
        *,
        preview_every_s: float = 0.0,
        interactive: bool = True,
        alone: bool = False,
    ) -> Rendered:
        """Return the painted scene. Cancelling the caller closes the call's connection.

        A vendor has no steps and no previews, so `progress` is called once. Raises BadInput `content_refused` when the
        vendor refuses the words or the picture, Unavailable `remote_unavailable` when it cannot be used now, and
        EngineFailed: `remote_answer` for an answer without a picture of the scene's size, `remote_refused` for another
        error.
        """
        check_limits(scene, self._pack)
        asked_s = time.monotonic()
        edit = _edit_of(scene, self._endpoint)
        name = await asyncio.to_thread(_hash_of, edit, scene, self._endpoint)
        begun_s = called_s = asked_s
        picture = await asyncio.to_thread(self._kept, name)
        if picture is None:
            await self._take_place(interactive)
            begun_s = time.monotonic()
            try:
                self._require_open()
                data = await self._call(edit, name)
            finally:
                called_s = time.monotonic()
                await asyncio.shield(self._give_place())
            picture = await asyncio.to_thread(self._checked, data, scene.size)
            await asyncio.to_thread(self._keep, name, picture)
        steps = scene.brief.steps
        if progress is not None:
            progress(steps, steps, None)
        return Rendered(
            Render(picture, scene.brief.seed, self._findings()),
            {
                "queue": (begun_s - asked_s) * 1000,
                "begin": 0.0,
                "steps": (called_s - begun_s) * 1000,
                "decode": (time.monotonic() - called_s) * 1000,
                "device": self._endpoint.price_device_s * 1000,
            },
        )

    async def _take_place(self, interactive: bool) -> None:
        """Wait for a place. Catalogue scenes take none while a person's scene waits for one."""
        self._people_wait += interactive
        try:
            async with self._freed:
                await self._freed.wait_for(
                    lambda: self._called < self.max_rows and (interactive or not self._people_wait)
                )
                self._called += 1
        finally:
            self._people_wait -= interactive

    async def _give_place(self) -> None:
        async with self._freed:
            self._called -= 1
            self._freed.notify_all()

    def _require_open(self) -> None:
        """Raise the vendor's last answer until the time for which it asked to wait has passed."""
        left_s = self._closed_until - time.monotonic()
        if self._closed_by is not None and left_s > 0:
            raise Unavailable(self._closed_by.code, self._closed_by.detail, retry_after_s=left_s)

    async def _call(self, edit: Edit, name: str) -> bytes:
        """Call the vendor once, and return the file of the picture."""
        endpoint, key = self._endpoint, await asyncio.to_thread(read_key, self._pack, self._settings)
        call = await asyncio.to_thread(self._shape.call, endpoint, edit)
        headers = {"content-type": call.content_type, "accept": "application/json"}
        if endpoint.key_header:
            headers[endpoint.key_header] = f"Bearer {key}" if endpoint.key_header == "authorization" else key
        if endpoint.idempotency_header:
            headers[endpoint.idempotency_header] = f"packshot-{name}"
        try:
            reply = await self._egress.fetch(
                endpoint.url, call.body, headers, timeout_s=endpoint.timeout_s, max_bytes=endpoint.max_answer_bytes
            )
        except NoReply as silence:
            raise self._counted("unanswered", error_of_silence(silence, endpoint)) from None
        except BadInput:  # its words are about webhooks
            rule = f"the endpoint of pack {self._pack.name!r} must be https at public addresses, {endpoint.url} is not"
            wrong_url = Unavailable("remote_unavailable", f"{rule}; the operator must correct it, and the shot waits")
            raise self._counted("unanswered", wrong_url) from None
        if not 200 <= reply.status < 300:
            error = error_of(reply, endpoint, self._shape, key)
            if error.retry_after_s is not None:
                self._closed_until, self._closed_by = time.monotonic() + error.retry_after_s, error
            raise self._counted("refused", error)
        answer = json_of(reply.body)
        try:
            if answer is None:
                kind = reply.headers.get("content-type", "no type")[:40]
                raise NoPicture(f"the body must be JSON, got {len(reply.body)} bytes of {kind}")
            data = self._shape.picture(answer)
        except NoPicture as missing:
            outcome = "refused" if missing.refused else "wrong"
            raise self._counted(outcome, error_of_answer(missing, endpoint)) from None
        self._meter.count("packshot_remote_calls_total", outcome="painted")
        return data

    def _checked(self, data: bytes, size: tuple[int, int]) -> U8:
        """The pixels of the picture that came, of the (width, height) that was asked for. Raises `remote_answer`."""
        kind = sniff(data)
        try:
            if kind not in FORMATS:
                raise ValueError(f"it must be {', '.join(FORMATS)}, got {kind or 'another format'}")
            opened = open_whole(data, str(kind), MAX_SIDE_PX**2, MAX_SIDE_PX, [])
            if opened.size != size:
                raise ValueError("it must have {}x{} px, got {}x{}".format(*size, *opened.size))
            pixels = np.asarray(opened.convert("RGB"), np.uint8)
        except Exception as error:  # noqa: BLE001 - Pillow raises many kinds of errors for a file that is none
            raise self._counted("wrong", wrong_answer(self._endpoint, _reason(error))) from None
        return pixels

    def _counted(self, outcome: str, error: PackshotError) -> PackshotError:
        self._meter.count("packshot_remote_calls_total", outcome=outcome)
        log.warning("a call of %s: %s", self._endpoint.model, error)
        return error

    def _kept(self, name: str) -> U8 | None:
        """The picture that came for the same edit before, or None."""
        try:
            data = self._answers.get(answer_key(name))
        except NotFound:
            return None
        log.info("the picture of %s is kept from an earlier attempt", self._endpoint.model)
        return read_png(data)

    def _keep(self, name: str, picture: U8) -> None:
        """Keep a picture that was paid for. The shot goes on without it when there is no room."""
        try:
            self._answers.put_at(answer_key(name), encode_png(picture))
        except (StorageFull, Unavailable) as error:
            log.warning("a picture that was paid for could not be kept: %s", error)

    def _findings(self) -> tuple[Finding, ...]:
        model = self._endpoint.model
        return (Finding("seed", "ok", f"{model} honours no seed: the same seed gives another picture after an hour"),)


def open_painter(pack: Pack, settings: Settings, *, meter: Meter | None = None) -> RemotePainter:
    """The painter of a remote pack as a server has it. Raises PackRefused as `RemotePainter` does."""
    pack.check()
    answers = Assets(settings.asset_root, settings.max_asset_bytes)
    return RemotePainter(
        pack, settings, egress=Egress(allow_loopback=settings.open_access), answers=answers, meter=meter
    )


def endpoint_of(pack: Pack) -> Endpoint:
    """The pack's endpoint. Raises PackRefused (pack_mismatch) when it has none."""
    if pack.manifest.endpoint is None:
        raise PackRefused("pack_mismatch", f"pack {pack.name!r} must have an endpoint; its recipe is not remote")
    return pack.manifest.endpoint


def _edit_of(scene: Scene, endpoint: Endpoint) -> Edit:
    """The edit that paints a scene: around the product, or what a touch-up repaints of a finished picture."""
    prompt = endpoint.prompt.replace("{prompt}", scene.brief.prompt)
    edit = Edit(scene.product, scene.inpaint_mask, prompt)
    return edit if scene.kept is None else replace(edit, picture=scene.kept.picture, repaint=scene.kept.repaint)


def _hash_of(edit: Edit, scene: Scene, endpoint: Endpoint) -> str:
    """A hash of all that was asked for. The seed counts, so that each picture of a shot is another one."""
    service = endpoint.model_dump(mode="json", include={"shape", "url", "model", "fields"})
    asked = [service, edit.prompt, scene.brief.seed, scene.size]
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode())
    for pixels in (edit.picture, edit.repaint):
        digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def _reason(error: Exception) -> str:
    """Why a file is no picture. An error of the photo decoder has a code before its sentence."""
    return f"its picture: {error.args[-1] if error.args else type(error).__name__}"[:200]
