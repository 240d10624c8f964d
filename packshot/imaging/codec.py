"""The one door for images: untrusted bytes go through a bounded worker process, our own take the fast path.

    upload bytes ──> PhotoDecoder ──> NormalisedPhoto.png ──> read_photo ──> Photo
                     (decode_worker)   upright, sRGB, 8-bit, no metadata

Uploads are sniffed here and decoded only in `decode_worker`, one attempt each, under a time and a memory limit. The
fast path (OpenCV) reads and writes only what we made ourselves; it is the single place where RGB and BGR meet.
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
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import cv2
import numpy as np

from packshot.errors import BadInput, Unavailable, UnsupportedMedia
from packshot.imaging import fastpng
from packshot.types import U8, Mask, Photo

__all__ = [
    "NormalisedPhoto",
    "PhotoDecoder",
    "encode_bilevel_png",
    "encode_png",
    "read_mask",
    "read_photo",
    "read_png",
    "sniff",
]

WORKER = Path(__file__).with_name("decode_worker.py")
CLAIMS = {
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/pjpeg": "jpeg",
    "image/png": "png",
    "image/x-png": "png",
    "image/webp": "webp",
}
PATIENCE = 3.0  # a decode may take this many times its processor time on the clock
NO_CLAIM = ("", "application/octet-stream", "binary/octet-stream")


@dataclass(frozen=True)
class NormalisedPhoto:
    """An upload, rebuilt. `png`: 8-bit RGB, upright, sRGB, no metadata, `width` x `height`.

    `format` (jpeg, png or webp), `sha256` and `bytes` are the upload's own. `notes` say what was assumed or dropped.
    """

    png: bytes
    width: int
    height: int
    format: str
    sha256: str
    bytes: int
    notes: tuple[str, ...]


def sniff(data: bytes) -> str | None:
    """`jpeg`, `png` or `webp` by the first bytes, else None."""
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return None


class PhotoDecoder:
    """Untrusted bytes to NormalisedPhoto, in worker processes that are started when first needed.

    Thread-safe; `normalise` blocks, waiting for one of `workers` processes and then at most `timeout_s` of its
    processor time (three times that on the clock). A worker that is late, over its memory or dead is killed and
    replaced; the photo that did it is refused and not tried again.
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
        """End the workers; photos being decoded finish first."""
        self._closed = True
        for _ in range(self._workers):
            worker = self._slots.get()
            if worker is not None:
                worker.end()
        for _ in range(self._workers):  # whoever still waits for a slot gets one, and sees that we are closed
            self._slots.put(None)

    def normalise(self, data: bytes, claimed_type: str | None = None) -> NormalisedPhoto:
        """Rebuild an upload from its pixels; `claimed_type` is the media type that came with it.

        Raises BadInput (photo_…), UnsupportedMedia (photo_format), Unavailable after `close`.
        """
        kind = _check_claim(data, claimed_type)
        worker = self._slots.get()
        try:
            if self._closed:
                raise Unavailable("not_ready", "the decoder is closed: the server is stopping; try again later")
            if worker is None or not worker.alive:
                if worker is not None:
                    worker.end()
                worker = _Worker(self._limits)
            head, png = worker.ask(data, kind, self._timeout_s)
        except _WorkerDied as died:
            worker = None
            if died.late:
                detail = (
                    f"decoding must take at most {self._timeout_s:g} s, this {kind.upper()} took longer; save it anew"
                )
                raise BadInput("photo_timeout", detail) from None
            detail = f"the bytes must be a whole, valid {kind.upper()}, the decoder did not survive them; save it anew"
            raise BadInput("photo_unreadable", detail) from None
        finally:
            self._slots.put(worker)
        if "code" in head:
            raise BadInput(head["code"], head["detail"])
        return NormalisedPhoto(
            png=png,
            width=head["width"],
            height=head["height"],
            format=kind,
            sha256=hashlib.sha256(data).hexdigest(),
            bytes=len(data),
            notes=tuple(head["notes"]),
        )


def _check_claim(data: bytes, claimed_type: str | None) -> str:
    if not data:
        raise BadInput("photo_empty", "an upload must hold an image, this one holds no bytes; choose a file")
    kind = sniff(data)
    if kind is None:
        start = data[:4].hex(" ")
        detail = f"a photo must be JPEG, PNG or WebP, these bytes start with {start}; convert it"
        raise UnsupportedMedia("photo_format", detail)
    claim = (claimed_type or "").split(";")[0].strip().lower()
    if claim not in NO_CLAIM and CLAIMS.get(claim) != kind:
        detail = f"the bytes must be what the upload claims, {claim[:60]!r}, and are {kind.upper()}; send image/{kind}"
        raise BadInput("photo_type_mismatch", detail)
    return kind


class _WorkerDied(Exception):
    def __init__(self, *, late: bool) -> None:
        super().__init__(late)
        self.late = late


class _Worker:
    """One decode process; used by one thread at a time."""

    def __init__(self, limits: tuple[int, int]) -> None:
        # A plain subprocess: works inside Ray actors and from scripts without a __main__ guard. -I: no PYTHONPATH, no
        # user site. Next to no environment and no stderr: no secret gets in, nothing of an upload into a log.
        command = [sys.executable, "-I", str(WORKER), *map(str, limits)]
        libraries = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH") if name in os.environ}
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and file
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=libraries
        )

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, data: bytes, kind: str, timeout_s: float) -> tuple[dict[str, Any], bytes]:
        """(header, PNG). Kills the process when it is late; raises _WorkerDied when it is no more."""
        late, done = threading.Event(), threading.Event()
        watch = threading.Thread(target=self._watch, args=(timeout_s, done, late), daemon=True)
        watch.start()
        header = json.dumps({"format": kind}).encode()
        try:
            requests, answers = _pipe(self._process.stdin), _pipe(self._process.stdout)
            requests.write(struct.pack(">II", len(header), len(data)) + header)
            requests.write(data)
            requests.flush()
            header_size, png_size = struct.unpack(">II", _read_exactly(answers, 8))
            head, png = json.loads(_read_exactly(answers, header_size)), _read_exactly(answers, png_size)
        except (OSError, EOFError):
            done.set()
            watch.join()  # before the process is reaped: the watch reads its clock
            self.end()
            raise _WorkerDied(late=late.is_set()) from None
        finally:
            done.set()
            watch.join()
        if head.get("recycle") or late.is_set():
            self.end()
        return head, png

    def _watch(self, timeout_s: float, done: threading.Event, late: threading.Event) -> None:
        """Kill the process after `timeout_s` of its own processor time, or PATIENCE times that on the clock.

        Processor time first, because a sound photo must not be refused for what else a busy machine does.
        """
        began_s, began_cpu_s = time.monotonic(), _cpu_s(self._process.pid)
        wait_s = timeout_s
        while not done.wait(wait_s):
            used_s, waited_s = _cpu_s(self._process.pid) - began_cpu_s, time.monotonic() - began_s
            if used_s >= timeout_s or waited_s >= PATIENCE * timeout_s:
                late.set()
                self._process.kill()  # closes its end of the pipes, which wakes whoever reads or writes them
                return
            wait_s = max(0.01, min(timeout_s - used_s, PATIENCE * timeout_s - waited_s))

    def end(self) -> None:
        """Kill, reap and close; safe to call again."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:  # unflushed bytes for a process that is gone
                    continue


def _cpu_s(pid: int) -> float:
    """Processor seconds that a process has used; the clock where the system does not say (macOS)."""
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


def encode_png(pixels: U8, *, level: int = 1) -> bytes:
    """PNG of uint8 HxW (grey), HxWx3 (RGB) or HxWx4 (straight RGBA).

    `level`: 1 is the fast way of `packshot.imaging.fastpng`; 2..9 are zlib's, for files that are kept or sent often.
    """
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))):
        raise TypeError(f"pixels must be uint8 HxW, HxWx3 or HxWx4, got {pixels.dtype} {pixels.shape}")
    if level <= 1:
        return fastpng.encode(pixels)
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    return _imencode(pixels, [cv2.IMWRITE_PNG_COMPRESSION, level])


def encode_bilevel_png(mask: U8) -> bytes:
    """1-bit PNG of a uint8 HxW mask: 128 and up is white. Six times as fast as 8-bit, and a quarter of the size."""
    if mask.dtype != np.uint8 or mask.ndim != 2:
        raise TypeError(f"mask must be uint8 HxW, got {mask.dtype} {mask.shape}")
    binary = cv2.threshold(mask, 127, 255, cv2.THRESH_BINARY)[1]
    return _imencode(binary, [cv2.IMWRITE_PNG_BILEVEL, 1, cv2.IMWRITE_PNG_COMPRESSION, 1])


def _imencode(pixels: U8, flags: list[int]) -> bytes:
    done, encoded = cv2.imencode(".png", pixels, flags)
    if not done:
        raise RuntimeError(f"OpenCV did not encode {pixels.shape} as PNG")
    return bytes(encoded)


def read_png(data: bytes) -> U8:
    """Pixels of a PNG that we made: uint8 HxW, HxWx3 RGB or HxWx4 straight RGBA. Never for uploads."""
    ours = fastpng.decode(data)
    if ours is not None:
        return ours
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint8:
        raise ValueError(f"the bytes must be an 8-bit PNG that encode_png wrote, got {len(data)} bytes that are not")
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)
    return np.asarray(pixels, np.uint8)


def read_photo(png: bytes) -> Photo:
    """The photo of a NormalisedPhoto's PNG."""
    return Photo(read_png(png))


def read_mask(png: bytes) -> Mask:
    """The mask of a 1-bit or 8-bit grey PNG that we made."""
    return Mask(read_png(png))
