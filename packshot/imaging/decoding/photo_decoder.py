"""Decoding of untrusted bytes in worker processes with limits.

    upload bytes ──> PhotoDecoder ──> NormalisedPhoto.png ──> packshot.imaging.codec.read_photo ──> Photo
                     (worker)          upright, sRGB, 8-bit, no metadata

`formats` detects the format of an upload. Only `worker` decodes it, once, under a time and a memory limit.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import struct
import subprocess
import sys
import threading
import time
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import IO

import packshot
from packshot.delivery.provenance import C2paFound
from packshot.errors import BadInput, Unavailable, UnsupportedMedia
from packshot.imaging.decoding.formats import FORMATS, refusal_of, sniff
from packshot.imaging.decoding.messages import Answer, Extent, Question
from packshot.imaging.decoding.results import NormalisedPhoto, Note, OwnAlpha, UploadedMask
from packshot.types import BoxXYXY

__all__ = ["PhotoDecoder"]

ROOT = Path(packshot.__file__).resolve().parent.parent
WORKER = "import sys; sys.path.insert(0, sys.argv[1]); from packshot.imaging.decoding.worker import main; main()"
KEPT_VARIABLES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
MASK_CODES = ("mask_size", "mask_empty", "mask_inverted", "mask_unreadable")
WALL_CLOCK_FACTOR = 3.0  # a decode may take its processor time limit times this factor by the wall clock


class PhotoDecoder:
    """Decode untrusted bytes in worker processes, which are started when they are first needed.

    At most `workers` photos are decoded at the same time. A photo may have at most `max_photo_px` pixels and
    `max_photo_side_px` pixels on a side; a JPEG of up to four times the pixels is decoded at a reduced size. Decoding
    one may take at most `timeout_s` seconds of processor time, and three times that by the wall clock. A worker that
    exceeds its time or memory limit, or that dies, is killed and replaced. Its photo is refused and not retried. A
    PhotoDecoder is thread-safe.
    """

    def __init__(
        self,
        *,
        max_photo_px: int = 50_000_000,
        max_photo_side_px: int = 10_000,
        timeout_s: float = 10.0,
        workers: int = 1,
    ) -> None:
        self._limits = (max_photo_px, max_photo_side_px)
        self._timeout_s = timeout_s
        self._workers = workers
        self._closed = False
        self._slots: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        for _ in range(workers):
            self._slots.put(None)

    def __enter__(self) -> PhotoDecoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the workers, after they have finished their current photos."""
        self._closed = True
        for _ in range(self._workers):
            worker = self._slots.get()
            if worker is not None:
                worker.end()
        for _ in range(self._workers):  # a thread that still waits for a slot gets one and sees that it is closed
            self._slots.put(None)

    def normalise(self, data: bytes, claimed_type: str | None = None) -> NormalisedPhoto:
        """Decode an upload. Its bytes decide the format. Blocks until a worker has finished.

        `claimed_type` is the media type that the upload claims to have, if any; a wrong claim gives a note.

        Raises BadInput (photo_…) for an upload that cannot be decoded or exceeds a limit, UnsupportedMedia
        (photo_format) for another format, and Unavailable (not_ready) after `close`.
        """
        kind = _require_format(data)
        head, (png, *own) = self._ask(data, {"format": kind})
        return NormalisedPhoto(
            png=png,
            width=head["width"],
            height=head["height"],
            format=kind,
            sha256=hashlib.sha256(data).hexdigest(),
            bytes=len(data),
            notes=(*_note_on_claim(kind, claimed_type), *(Note(*note) for note in head["notes"])),
            own_alpha=OwnAlpha(own[0], own[1], *_extent(head["extent"])) if own else None,
        )

    def read_mask(self, data: bytes, width: int, height: int) -> UploadedMask:
        """Decode a mask that a person sends for a photo of `width` x `height` pixels. Soft values are kept.

        Raises BadInput (mask_…) for a mask that cannot be read or used, UnsupportedMedia (mask_format) when it is not a
        PNG, and Unavailable (not_ready) after `close`.
        """
        if sniff(data) != "png":
            got = f"bytes that start with {data[:4].hex(' ')}" if data else "0 bytes"
            raise UnsupportedMedia("mask_format", f"a mask must be a PNG, got {got}; export it as PNG")
        try:
            head, (png,) = self._ask(data, {"format": "png", "mask_size": (width, height)})
        except BadInput as error:
            if error.code in MASK_CODES:
                raise
            raise BadInput("mask_unreadable", error.detail) from None
        return UploadedMask(png, *_extent(head["extent"]))

    def read_manifest(self, data: bytes, anchors: str) -> C2paFound:
        """Read the C2PA manifest of a file. `anchors` are trusted certificates as PEM.

        A file without one, or of another format, has none. One that breaks its reader is present and not valid. Raises
        Unavailable (not_ready) after `close`.
        """
        kind = sniff(data)
        if kind is None or b"c2pa" not in data:  # every manifest names itself
            return C2paFound()
        try:
            head, _ = self._ask(data, {"format": kind, "anchors": anchors})
        except BadInput:
            return C2paFound(present=True)
        return C2paFound(**head["manifest"])  # type: ignore[arg-type]

    def _ask(self, data: bytes, header: Question) -> tuple[Answer, list[bytes]]:
        """(answer's header, PNGs) of a worker, which is started again when it has died."""
        kind = header["format"]
        worker = self._slots.get()
        try:
            if self._closed:
                raise Unavailable("not_ready", "the decoder is closed: the server is stopping; try again later")
            if worker is None or not worker.alive:
                if worker is not None:
                    worker.end()
                worker = _Worker(self._limits)
            head, files = worker.ask(data, header, self._timeout_s)
        except _WorkerDied as died:
            worker = None
            if died.late:
                detail = (
                    f"decoding must take at most {self._timeout_s:g} s, this {kind.upper()} took longer; "
                    "save it again from an image editor"
                )
                raise BadInput("photo_timeout", detail) from None
            detail = (
                f"the bytes must be a complete, valid {kind.upper()}, but decoding them crashed the decoder; "
                "save it again from an image editor"
            )
            raise BadInput("photo_unreadable", detail) from None
        finally:
            self._slots.put(worker)
        if "code" in head:
            raise (UnsupportedMedia if head["code"] in UnsupportedMedia.codes else BadInput)(
                head["code"], head["detail"]
            )
        return head, _split(files, head["sizes"])


def _extent(found: Extent) -> tuple[int, BoxXYXY, BoxXYXY]:
    """The product's area and boxes (`OwnAlpha`). JSON has made lists of the boxes."""
    (x0, y0, x1, y1), (left, top, right, bottom) = found["bbox_xyxy"], found["shown_xyxy"]
    return found["area_px"], (x0, y0, x1, y1), (left, top, right, bottom)


def _require_format(data: bytes) -> str:
    """The format of the bytes, a key of `FORMATS`."""
    if not data:
        raise BadInput("photo_empty", "an upload must hold an image, got 0 bytes; choose a file")
    kind = sniff(data)
    if kind is None:
        name, remedy = refusal_of(data)
        labels = [one.label for one in FORMATS.values()]
        accepted = f"{', '.join(labels[:-1])} or {labels[-1]}"
        raise UnsupportedMedia("photo_format", f"a photo must be {accepted}, got {name}; {remedy}")
    return kind


def _note_on_claim(kind: str, claimed_type: str | None) -> tuple[Note, ...]:
    if not claimed_type or claimed_type in FORMATS[kind].media_types:
        return ()
    claim = next((one.label for one in FORMATS.values() if claimed_type in one.media_types), repr(claimed_type[:60]))
    return (Note("type_by_bytes", f"the file claims to be {claim}, its bytes are {FORMATS[kind].label}: they count"),)


class _WorkerDied(Exception):
    """Raised when a worker process died during a decode. `late`: it was killed because it exceeded its time limit."""

    def __init__(self, *, late: bool) -> None:
        super().__init__(late)
        self.late = late


class _Worker:
    """One decoding process. Only one thread at a time may use it."""

    def __init__(self, limits: tuple[int, int]) -> None:
        # A plain subprocess works inside Ray actors and in scripts without a __main__ guard. -I ignores PYTHONPATH and
        # the user's site-packages. The environment is nearly empty, so that no secret reaches the process; one heap for
        # all threads keeps their reserves out of its memory limit. stderr is discarded, so that no part of an upload
        # reaches a log.
        command = [sys.executable, "-I", "-c", WORKER, str(ROOT), *map(str, limits)]
        environment = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ} | {
            "MALLOC_ARENA_MAX": "1"
        }
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and file
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        )

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, data: bytes, about: Question, timeout_s: float) -> tuple[Answer, bytes]:
        """Decode one image and return (header, PNGs). Raises _WorkerDied when the process dies or is killed as late."""
        late, done = threading.Event(), threading.Event()
        watchdog = threading.Thread(target=self._watch, args=(timeout_s, done, late), daemon=True)
        watchdog.start()
        header = json.dumps(about).encode()
        try:
            requests, answers = _pipe(self._process.stdin), _pipe(self._process.stdout)
            requests.write(struct.pack(">II", len(header), len(data)) + header)
            requests.write(data)
            requests.flush()
            header_size, size = struct.unpack(">II", _read_exactly(answers, 8))
            head: Answer = json.loads(_read_exactly(answers, header_size))
            files = _read_exactly(answers, size)
        except (OSError, EOFError):
            done.set()
            watchdog.join()  # before the process is reaped, because the watchdog reads its processor time
            self.end()
            raise _WorkerDied(late=late.is_set()) from None
        finally:
            done.set()
            watchdog.join()
        if head.get("recycle") or late.is_set():
            self.end()
        return head, files

    def _watch(self, timeout_s: float, done: threading.Event, late: threading.Event) -> None:
        """Kill the process after `timeout_s` of processor time, or WALL_CLOCK_FACTOR times that by the wall clock.

        Processor time is the first limit, because a busy machine must not cause a valid photo to be refused.
        """
        began_s, began_cpu_s = time.monotonic(), _cpu_s(self._process.pid)
        wait_s = timeout_s
        while not done.wait(wait_s):
            used_s, waited_s = _cpu_s(self._process.pid) - began_cpu_s, time.monotonic() - began_s
            if used_s >= timeout_s or waited_s >= WALL_CLOCK_FACTOR * timeout_s:
                late.set()
                self._process.kill()  # closes its end of the pipes, which unblocks the thread that reads or writes them
                return
            wait_s = max(0.01, min(timeout_s - used_s, WALL_CLOCK_FACTOR * timeout_s - waited_s))

    def end(self) -> None:
        """Kill and reap the process, and close its pipes. It may be called more than once."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:  # bytes for the dead process could not be flushed
                    continue


def _cpu_s(pid: int) -> float:
    """The processor seconds that a process has used. Without /proc (macOS) it is the wall clock instead."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return time.monotonic()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise EOFError
    return stream


def _read_exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def _split(files: bytes, sizes: list[int]) -> list[bytes]:
    ends = list(accumulate(sizes))
    return [files[end - size : end] for size, end in zip(sizes, ends, strict=True)]
