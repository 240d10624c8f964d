"""`python -m bench.clips`: the core-seconds of a second of clip, and a contact sheet of each move to look at.

The picture is the coffee photo with cup and saucer as its product, so the scene behind the product is a real one. One
thread; the time of ffmpeg counts. Sheets are written to out/bench/clip-MOVE.png: six frames of four seconds.
"""

from __future__ import annotations

import resource
import time
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console

from bench.p11_finishing import coffee, one_thread
from packshot.contract.clips import CLIP_FPS, FORMATS, MOVES, ClipFormat, Move
from packshot.errors import BadInput
from packshot.imaging.codec import encode_png
from packshot.imaging.motion.encode import encoder_for
from packshot.imaging.motion.frames import Frames
from packshot.types import U8, Flat

OUT = Path("out/bench")
SIZES = (1080, 1920)
PICTURE_PX = 1920
SHEET_PX = 640


def main() -> int:
    """Measure, print a row for each and write the sheets."""
    console = Console()
    console.print(
        "px | file | move | core-s to begin | core-s a second of clip | MB a second | peak MiB", soft_wrap=True
    )
    with one_thread():
        picture, flat = scene()
        for size in SIZES:
            for form in FORMATS:
                for move in MOVES[:2]:  # a pan costs what a push-in does
                    console.print(" | ".join((str(size), form, move, *measured(picture, flat, move, size, form))))
        OUT.mkdir(parents=True, exist_ok=True)
        for move in MOVES:
            (OUT / f"clip-{move}.png").write_bytes(
                encode_png(sheet(Frames(picture, flat, move, 4.0, CLIP_FPS, SHEET_PX)))
            )
    return 0


def scene() -> tuple[U8, Flat]:
    """The picture, and its layout with a soft edge."""
    photo, mask = coffee()
    size = (PICTURE_PX, round(photo.shape[0] * PICTURE_PX / photo.shape[1]))
    picture = np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8)
    alpha = np.asarray(cv2.GaussianBlur(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), (0, 0), 1.0), np.uint8)
    return picture, Flat(np.dstack([picture, alpha]))


def measured(picture: U8, flat: Flat, move: Move, size: int, form: ClipFormat) -> tuple[str, ...]:
    """The cells of a row: core-seconds before the first frame and of one second, megabytes, and the process's peak."""
    started_at = spent_s()
    frames = Frames(picture, flat, move, 1.0, CLIP_FPS, size)
    begun_at = spent_s()
    try:
        encoder = encoder_for(form, frames.size, CLIP_FPS, loops=frames.camera.loops)
    except BadInput:
        return ("", "not installed", "", "")
    for frame in frames:
        encoder.add(frame)
    data = encoder.finish()
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"{begun_at - started_at:.2f}", f"{spent_s() - begun_at:.2f}", f"{len(data) / 1e6:.2f}", f"{peak_mib:.0f}"


def spent_s() -> float:
    """The processor time of this process and of those that it waited for, in seconds."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def sheet(frames: Frames) -> U8:
    """Six frames of a clip, three in a row."""
    shown = [frames.frame(round(index * (frames.count - 1) / 5)) for index in range(6)]
    return np.vstack([np.hstack(shown[:3]), np.hstack(shown[3:])])


if __name__ == "__main__":
    raise SystemExit(main())
