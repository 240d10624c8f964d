"""Clips as files, written frame by frame, so that one frame is in memory: animated WebP, and MP4 where ffmpeg is there.

MP4 needs the extra `packshot[video]`. It brings an ffmpeg with x264 under the GPL, so no image of ours carries it.
"""

from __future__ import annotations

import io
import struct
import tempfile
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from packshot.contract.clips import ClipFormat
from packshot.errors import BadInput
from packshot.types import U8

__all__ = ["AnimatedWebP", "Encoder", "Mp4", "encoder_for", "require_format"]

WEBP_QUALITY = 82
WEBP_METHOD = 2
"""Pillow's effort: 4 takes 1.7 times as long for 2 % fewer bytes."""
MP4_CRF = 18
"""x264's constant rate factor; 18 shows no difference to the frames."""


class Encoder(Protocol):
    """Writes a clip's frames, each uint8 hxwx3 RGB of the clip's size, in order."""

    def add(self, frame: U8) -> None:
        """Write the next frame."""
        ...

    def finish(self) -> bytes:
        """The whole file, after the last frame."""
        ...

    def close(self) -> None:
        """Free what the encoder holds. It may be called at any time, and more than once."""
        ...


def require_format(format: ClipFormat) -> None:
    """Raise BadInput `video_not_installed` when this installation cannot write the format."""
    if format == "mp4" and not _ffmpeg_installed():
        rule = "format mp4 needs ffmpeg, which is not installed on the server"
        raise BadInput("video_not_installed", f"{rule}; send format webp, or install 'packshot[video]' on the server")


def _ffmpeg_installed() -> bool:
    return find_spec("imageio_ffmpeg") is not None


def encoder_for(format: ClipFormat, size: tuple[int, int], fps: int, *, loops: bool) -> Encoder:
    """A new encoder for frames of `size` (width, height), both even, at `fps` frames a second.

    `loops` makes a WebP play for ever; without it, it plays once and shows its last frame. Players decide about an MP4.
    Raises BadInput `video_not_installed`.
    """
    require_format(format)
    return AnimatedWebP(size, fps, loops=loops) if format == "webp" else Mp4(size, fps)


class AnimatedWebP:
    """An animated WebP. Every frame is a key frame: when the camera moves, all pixels change.

    The container is written here, because Pillow's writer takes all frames at once.
    """

    def __init__(self, size: tuple[int, int], fps: int, *, loops: bool) -> None:
        self._size = size
        self._fps = fps
        self._loops = loops
        self._frames: list[bytes] = []

    def add(self, frame: U8) -> None:
        still = io.BytesIO()
        Image.fromarray(frame).save(still, "WEBP", quality=WEBP_QUALITY, method=WEBP_METHOD)
        number = len(self._frames)
        duration_ms = round((number + 1) * 1000 / self._fps) - round(number * 1000 / self._fps)
        place = (
            _u24(0) + _u24(0) + self._measured() + _u24(duration_ms) + b"\x02"
        )  # 2: does not blend with the last one
        self._frames.append(
            _chunk(b"ANMF", place + still.getvalue()[12:])
        )  # the still's chunks, without its RIFF header

    def finish(self) -> bytes:
        extended = _chunk(b"VP8X", b"\x02\0\0\0" + self._measured())  # 2: animated
        animation = _chunk(b"ANIM", struct.pack("<IH", 0xFFFFFFFF, 0 if self._loops else 1))
        return _chunk(b"RIFF", b"WEBP" + extended + animation + b"".join(self._frames))

    def close(self) -> None:
        self._frames.clear()

    def _measured(self) -> bytes:
        return _u24(self._size[0] - 1) + _u24(self._size[1] - 1)


def _u24(value: int) -> bytes:
    return value.to_bytes(3, "little")


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


class Mp4:
    """An MP4 with H.264 in 4:2:0, which every phone and browser plays. ffmpeg runs beside as a process of its own."""

    def __init__(self, size: tuple[int, int], fps: int) -> None:
        import imageio_ffmpeg

        self._folder = tempfile.TemporaryDirectory(prefix="packshot-clip-")
        self._path = Path(self._folder.name) / "clip.mp4"
        self._writer: Generator[None, Any, None] = imageio_ffmpeg.write_frames(
            str(self._path),
            size,
            fps=fps,
            codec="libx264",
            quality=None,
            macro_block_size=2,
            ffmpeg_log_level="error",
            output_params=[
                *("-crf", str(MP4_CRF), "-preset", "medium", "-threads", "1", "-movflags", "+faststart"),
                *("-vf", f"scale=out_color_matrix=bt709:out_range=tv,setparams={BT709}"),
            ],
        )
        self._writer.send(None)

    def add(self, frame: U8) -> None:
        self._writer.send(frame.tobytes())

    def finish(self) -> bytes:
        self._writer.close()  # waits for ffmpeg
        data = self._path.read_bytes()
        self.close()
        return data

    def close(self) -> None:
        self._writer.close()
        self._folder.cleanup()


BT709 = "color_primaries=bt709:color_trc=bt709:colorspace=bt709"
