"""Photos -> finished pictures through the public API, several at once. A photo that fails does not stop the rest.

upload -> mask -> a shot for each prompt -> events -> download
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from packshot.cli.progress import Progress
from packshot.cli.results import Results
from packshot.cli.retries import retry_while_busy
from packshot.cli.servers import KEY_VARIABLE
from packshot.cli.shot_options import Layout, LayoutLayer, Marks
from packshot.cli.sources import Source
from packshot.contract.events import ProgressEvent, QueuedEvent
from packshot.contract.status import ENDED
from packshot.errors import BadInput, PackshotError, StorageFull, Unauthorized, Unavailable
from packshot.imaging.decoding.formats import claim_of

if TYPE_CHECKING:
    from packshot.client import Client
    from packshot.contract.answers import MaskAnswer, NoteAnswer, PhotoAnswer, ShotAnswer

__all__ = ["Batch", "Order", "Outcome"]

Answer = TypeVar("Answer")

AT_ONCE = 4
"""Photos in work at once: enough that the engine's steps are shared and the next photo is cut while one is painted."""


@dataclass(frozen=True)
class Order:
    """What is made of each photo. `request` is the shot request without layers and prompt; `prompts` has one shot each.

    `presets` are channels to which each picture is delivered too.
    """

    request: Mapping[str, Any]
    prompts: tuple[str, ...]
    marks: Marks
    layout: Layout
    presets: tuple[str, ...] = ()


@dataclass
class Outcome:
    """What became of one photo.

    `images` and `notes` are rows of the command's JSON. `failures` are the shots or deliveries that failed. `error` is
    why nothing was made; `not_tried` is whether the batch had stopped before.
    """

    source: Source
    images: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, str]] = field(default_factory=list)
    failures: list[dict[str, str]] = field(default_factory=list)
    error: PackshotError | None = None
    not_tried: bool = False
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.error is None and not self.failures and not self.not_tried


class Batch:
    """Makes an order of every photo. `client` reaches the server and `results` keeps the files."""

    def __init__(self, client: Client, order: Order, results: Results) -> None:
        self._client = client
        self._order = order
        self._results = results
        self._stop: PackshotError | None = None
        self._masks: dict[tuple[Path, Marks], str] = {}
        self._cutting = threading.Lock()

    def run(self, sources: Sequence[Source], progress: Progress) -> list[Outcome]:
        """Make the pictures of all photos. Returns an outcome for each, in order.

        The batch stops when no further photo could succeed: the key is refused, the server is gone, a disk is full.
        """
        count, ended = len(sources), 0
        lock = threading.Lock()

        def one(source: Source) -> Outcome:
            nonlocal ended
            outcome = Outcome(source)
            if self._stop is not None:
                outcome.not_tried = True
                return outcome
            try:
                self._make(source, outcome, progress)
            except PackshotError as error:
                outcome.error = error
                if isinstance(error, Unauthorized):
                    remedy = f"set {KEY_VARIABLE} to a key that holds (packshot keys create TENANT)"
                    outcome.error = Unauthorized("unauthorized", f"{error.detail.rstrip('.')}; {remedy}")
                if isinstance(error, (Unauthorized, StorageFull)) or self._is_gone(error):
                    self._stop = error
            with lock:
                ended += 1
                place = f" ({ended} of {count})" if count > 1 else ""
                progress.end(source.name, f"{source.name}: {_summary(outcome)}{place}")
            return outcome

        with ThreadPoolExecutor(min(AT_ONCE, max(1, count)), thread_name_prefix="photo") as threads:
            try:
                return list(threads.map(one, sources))
            except KeyboardInterrupt:
                self._stop = BadInput("bad_usage", "interrupted")
                threads.shutdown(wait=False, cancel_futures=True)
                raise

    def _is_gone(self, error: PackshotError) -> bool:
        """Whether the error means that the server does not answer at all, not only for one photo."""
        if not isinstance(error, Unavailable):
            return False
        try:
            self._client.wait_ready(0)
        except Unavailable:
            return True
        return False

    def _make(self, source: Source, outcome: Outcome, progress: Progress) -> None:
        lap = _Laps(outcome.seconds)
        uploaded: PhotoAnswer | None = None
        cut: MaskAnswer | None = None
        if self._order.layout.needs_photo:
            progress.update(source.name, "uploading")
            uploaded = self._upload(source.path)
            outcome.notes = [note.model_dump(mode="json") for note in uploaded.notes]
            lap("upload")
            progress.update(source.name, "cutting out")
            cut, notes = self._cut(uploaded, self._order.marks, source)
            outcome.notes += [note.model_dump(mode="json") for note in notes]
            lap("mask")
        layers = [self._layer(layer, cut) for layer in self._order.layout.layers]
        shots = [
            self._shoot({**self._order.request, "layers": layers, "prompt": prompt}) for prompt in self._order.prompts
        ]
        self._follow(source.name, shots, progress)
        ended = [self._retry_while_busy(partial(self._client.shot, shot)) for shot in shots]
        lap("shots")
        progress.update(source.name, "downloading")
        for prompt, shot in zip(self._order.prompts, ended, strict=True):
            self._keep(source, prompt, shot, outcome)
        if uploaded is not None and cut is not None:
            download = self._client.download
            files = (download(uploaded.url), download(cut.url), download(cut.cutout_url))
            self._results.keep_cut(source.name, *files)
        lap("download")

    def _upload(self, path: Path) -> PhotoAnswer:
        data = _read(path)
        media_type = claim_of(None, path.name) or "application/octet-stream"
        return self._retry_while_busy(lambda: self._client.upload(data, media_type))

    def _cut(self, photo: PhotoAnswer, marks: Marks, source: Source) -> tuple[MaskAnswer, tuple[NoteAnswer, ...]]:
        """The product's mask, and what should be known about it. Raises BadInput `no_product` for words without one."""
        client, points, boxes = self._client, marks.points, marks.boxes
        if marks.mask is not None:
            png = _read(_mask_of(marks.mask, source))
            return self._retry_while_busy(lambda: client.put_mask(photo.id, png)), ()
        if (find := marks.find) is None:
            return self._retry_while_busy(lambda: client.masks(photo.id, points=points, boxes=boxes))[0], ()
        answer = self._retry_while_busy(
            lambda: client.find(photo.id, find, not_text=marks.find_not, points=points, boxes=boxes)
        )
        notes = answer.found.notes if answer.found else ()
        if not answer.masks:
            why = next((note.detail for note in notes if note.code in ("no_known_word", "not_found")), "nothing fits")
            raise BadInput("no_product", f"{source.name} must show what --find names: {why}")
        return answer.masks[0], notes

    def _layer(self, layer: LayoutLayer, cut: MaskAnswer | None) -> dict[str, Any]:
        """The layer as the API takes it. The product of a photo that the layout names is cut once for all photos."""
        if layer.of_the_photo:
            assert cut is not None, "a layout that needs the photo has it cut first"
            return {**layer.place, "mask_id": cut.id}
        if layer.mask_id is not None or layer.photo is None:
            return {**layer.place, "mask_id": layer.mask_id}
        with self._cutting:
            key = (layer.photo, layer.marks)
            if key not in self._masks:
                photo = self._upload(layer.photo)
                self._masks[key] = self._cut(photo, layer.marks, Source(layer.photo, layer.photo.stem))[0].id
            return {**layer.place, "mask_id": self._masks[key]}

    def _shoot(self, request: dict[str, Any]) -> str:
        once = str(uuid.uuid4())  # a repeated call then finds the same shot
        return self._retry_while_busy(lambda: self._client.shoot(request, idempotency_key=once)).id

    def _follow(self, name: str, shots: list[str], progress: Progress) -> None:
        """Tell the progress of the shots until every one of them has ended."""
        steps = dict.fromkeys(shots, (0, 0))
        ended = 0
        for event in self._client.events(shots):
            match event.data:
                case QueuedEvent(position=position, position_estimated=estimated):
                    progress.update(name, f"queued, {'about ' if estimated else ''}{position} before")
                case ProgressEvent(shot=shot, step=step, steps=total):
                    steps[shot] = (step, total)
            ended += event.name in ENDED
            done, total = (sum(column) for column in zip(*steps.values(), strict=True))
            if total:
                scenes = f", {ended} of {len(shots)} scenes" if len(shots) > 1 else ""
                progress.update(name, f"painting, {done}/{total} steps{scenes}", done, total)

    def _keep(self, source: Source, prompt: str, shot: ShotAnswer, outcome: Outcome) -> None:
        if shot.status != "done":
            code, detail = (shot.error.code, shot.error.detail) if shot.error else (shot.status, "it was cancelled")
            outcome.failures.append({"shot": shot.id, "code": code, "detail": f"shot {shot.id}: {detail}"})
        for image in shot.images:
            number = len(outcome.images) + 1
            data = self._retry_while_busy(partial(self._client.download, image.url))
            path = self._results.keep_image(source.name, number, image.seed, data)
            row: dict[str, Any] = {
                "path": str(path),
                "photo": str(source.path),
                "id": image.id,
                "prompt": prompt,
                "seed": image.seed,
                "verdict": image.verdict.model_dump(mode="json"),
            }
            for preset in self._order.presets:
                try:
                    made = self._retry_while_busy(partial(self._client.download, image.url, preset=preset))
                except BadInput as error:
                    detail = f"{path.name} does not meet {preset}: {error.detail}"
                    outcome.failures.append({"image": image.id, "code": error.code, "detail": detail})
                    continue
                delivered = self._results.keep_delivery(source.name, number, image.seed, preset, made)
                row.setdefault("delivered", {})[preset] = str(delivered)
            outcome.images.append(row)

    def _retry_while_busy(self, call: Callable[[], Answer]) -> Answer:
        return retry_while_busy(call, lambda: self._stop is not None)


class _Laps:
    """Adds the seconds since the last lap to a table, by name."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self._seconds = seconds
        self._last = time.perf_counter()

    def __call__(self, name: str) -> None:
        now = time.perf_counter()
        self._seconds[name] = now - self._last
        self._last = now


def _mask_of(mask: Path, source: Source) -> Path:
    """The mask file of a photo: `mask` itself, or the PNG with the photo's name in the folder `mask`."""
    if not mask.is_dir():
        return mask
    for name in (f"{source.path.stem}.png", f"{source.path.stem}-mask.png"):
        if (mask / name).is_file():
            return mask / name
    raise BadInput("bad_usage", f"--mask must hold {source.path.stem}.png, {mask} does not; add it, or cut by --box")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput("bad_usage", f"{path} must be readable: {error.strerror or error}") from error


def _summary(outcome: Outcome) -> str:
    if outcome.error is not None:
        return f"nothing made: {outcome.error.detail} [{outcome.error.code}]"
    made = f"{len(outcome.images)} picture{'' if len(outcome.images) == 1 else 's'}"
    return made + "".join(f"; {failure['detail']} [{failure['code']}]" for failure in outcome.failures)
