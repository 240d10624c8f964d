"""Clips: one frame at a time from a finished picture and its layout, so that other work runs between the frames."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from packshot.contract.clips import ClipJob
from packshot.errors import BadInput
from packshot.imaging.motion.encode import Encoder, encoder_for
from packshot.imaging.motion.frames import Frames
from packshot.shots.stages import Filmed, Step
from packshot.types import F32, U8, Flat

__all__ = ["Filming", "filmed_by", "not_filmable"]

Draw = Callable[[], tuple[U8, Flat]]
"""Reads the finished picture (uint8 HxWx3 RGB) and draws its layout."""


def not_filmable(image_id: str, why: str, remedy: str) -> BadInput:
    """The refusal of a clip of a picture that cannot have one."""
    rule = f"a clip needs a picture with a background, and its masks and photos; {image_id} {why}"
    return BadInput("not_filmable", f"{rule}; {remedy}")


class Filming(Iterator[Step | Filmed]):
    """Makes one clip. Each `next` blocks for one frame and returns a Step, and the last one a Filmed.

    `draw` is called by the first `next`. Nothing of a clip is stored before its end, so that it can be made again.
    `depth` is a depth map of the picture, if there is one (`scene_disparity`).

    Raises, when iterated, BadInput: `not_filmable` when the picture has no background or another size than its layout,
    and `video_not_installed`. Raises NotFound when a file was deleted.
    """

    def __init__(self, draw: Draw, job: ClipJob, depth: F32 | None = None) -> None:
        self._draw = draw
        self._job = job
        self._depth = depth
        self._turn = threading.Lock()  # `close` may come while a thread makes a frame
        self._made = 0
        self._closed = False
        self._frames: Frames | None = None
        self._encoder: Encoder | None = None

    def __next__(self) -> Step | Filmed:
        with self._turn:
            if self._closed:
                raise StopIteration
            if self._frames is None or self._encoder is None:
                self._frames = self._begin()
                loops = self._frames.camera.loops
                self._encoder = encoder_for(self._job.format, self._frames.size, self._job.fps, loops=loops)
            if self._made == self._frames.count:
                data = self._encoder.finish()
                self._release()
                return Filmed(data, *self._frames.size)
            self._encoder.add(self._frames.frame(self._made))
            self._made += 1
            return Step(self._made, self._frames.count)

    def _begin(self) -> Frames:
        picture, flat = self._draw()
        job = self._job
        if picture.shape[2] != 3:
            raise not_filmable(job.image_id, "is transparent", "make a shot with a background")
        if picture.shape[:2] != flat.alpha.shape:
            raise not_filmable(job.image_id, "has another size than its layout", "make a shot of this size")
        return Frames(picture, flat, job.move, job.seconds, job.fps, job.size_px, self._depth)

    def _release(self) -> None:
        self._closed = True
        if self._encoder is not None:
            self._encoder.close()

    def close(self) -> None:
        """End it, after the frame that is being made. It may be called from any thread."""
        with self._turn:
            self._release()


async def filmed_by(filming: Filming, run: Callable[..., Awaitable[Any]]) -> AsyncIterator[Step | Filmed]:
    """What a Filming makes, each frame by one call of `run(function, *arguments)`, which runs it in a thread."""
    try:
        while (update := await run(next, filming, None)) is not None:
            yield update
    finally:
        asyncio.get_running_loop().run_in_executor(None, filming.close)
