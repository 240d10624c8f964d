"""P11: the core-seconds in which a painted scene becomes a finished picture, against a bare OpenCV composite and PNG.

One 1024 px picture of the coffee photo at 2.7 megapixels, one thread. Both sides start from the same cutout and the
same render of 256 px. We place the cutout, cast its shadow, enlarge the render, composite, inspect and encode. The bare
side resizes both pictures, blends them by alpha and encodes, all in OpenCV. A second row counts everything, from the
stored photo on: reading, cutting out, and the engine's small layout too.
"""

from __future__ import annotations

import statistics
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import cv2
import numpy as np
import skimage.data
from rich.console import Console
from rich.table import Table

from bench.harness import Row, Sides, interleave, report, tell, timed
from packshot.contract.shot_spec import Canvas
from packshot.imaging.canvas import cut, enlargement, fit_to, flatten
from packshot.imaging.codec import encode_bilevel_png, encode_png, read_mask, read_photo, read_png
from packshot.imaging.composite import composite, enlarge, inpaint_mask, product_on_grey
from packshot.imaging.shadow import contact_shadow
from packshot.types import U8, Cutout, Layer, Layout
from packshot.verdict.inspect import inspect

ROW = Row("P11", "core-seconds of finishing a 1024 px picture, its cutout at hand ÷ a bare OpenCV composite + PNG", 2.0)
ALL = Row("P11-all", "core-seconds from the stored photo and the render to the PNG", 0.25)
PHOTO = (2000, 1350)
CANVAS = Canvas(1024, 1024)
RENDER_PX = 256
SCALE, AT_Y = 0.7, 0.55  # of the cutout on the canvas
REPEATS = 15
APART_LEVELS = 2.0
"""Mean difference of the two sides' pictures without a shadow: they resample with different kernels."""

T = TypeVar("T")


@dataclass
class Stages:
    """Core-seconds of each stage, one a repeat."""

    core_s: dict[str, list[float]] = field(default_factory=dict)

    def take(self, name: str, call: Callable[[], T]) -> T:
        """Call, and note the processor time that it took."""
        started_at = time.process_time()
        answer = call()
        self.core_s.setdefault(name, []).append(time.process_time() - started_at)
        return answer

    @property
    def sums_s(self) -> list[float]:
        """All stages of each repeat."""
        return [sum(repeat) for repeat in zip(*self.core_s.values(), strict=True)]


def main() -> int:
    """Measure and report."""
    with one_thread():
        photo, mask = coffee()
        stored = encode_png(photo), encode_bilevel_png(mask)
        scene = cv2.resize(skimage.data.rocket(), (RENDER_PX, RENDER_PX), interpolation=cv2.INTER_AREA)
        cutout = cut(read_photo(stored[0]), read_mask(stored[1]))
        parity = compared(cutout, scene)
        sides = interleave(
            lambda: finished(cutout, scene, Stages()), lambda: bare(cutout, scene), REPEATS, time.process_time
        )
        stages = Stages()
        deflate_s = []
        for _ in range(REPEATS):
            from_the_start(stored, scene, stages)
            deflate_s.append(timed(lambda: zlib.compress(photo.tobytes(), 1), time.process_time))
    holds = report(ROW, sides, parity)
    show(stages, sides)
    # a slower machine deflates more slowly too: this is what the absolute figure is to be read against
    calibration = f"this core deflates the photo's pixels at zlib's level 1 in {statistics.median(deflate_s):.3f} s"
    return 0 if tell(ALL, stages.sums_s, calibration=calibration) and holds else 1


@contextmanager
def one_thread() -> Iterator[None]:
    """OpenCV in the calling thread: core-seconds of two threads hide what waking them costs."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def coffee() -> tuple[U8, U8]:
    """The coffee photo enlarged to 2.7 megapixels, and a mask of cup, saucer and spoon."""
    width, height = PHOTO
    photo = cv2.resize(skimage.data.coffee(), PHOTO, interpolation=cv2.INTER_CUBIC)
    mask = np.zeros((4 * 400, 4 * 600), np.uint8)
    cv2.ellipse(mask, (4 * 278, 4 * 228), (4 * 201, 4 * 155), 8, 0, 360, 255, -1)  # the saucer
    cv2.ellipse(mask, (4 * 290, 4 * 115), (4 * 118, 4 * 97), 4, 0, 360, 255, -1)  # the cup
    cv2.line(mask, (4 * 365, 4 * 280), (4 * 413, 4 * 80), 255, 4 * 20)  # the spoon
    mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(photo, np.uint8), np.where(mask >= 128, np.uint8(255), np.uint8(0))


def layout_of(cutout: Cutout) -> Layout:
    return Layout(CANVAS, (Layer(cutout, 0.5, AT_Y, SCALE),))


def finished(cutout: Cutout, scene: U8, stages: Stages, *, shadow: bool = True, small: bool = False) -> bytes:
    """Our side. `small`: also what the engine gets."""
    layout = layout_of(cutout)
    flat = stages.take("flatten", lambda: flatten(layout))
    if small:
        fitted = stages.take("fit to the engine", lambda: fit_to(flat, RENDER_PX, RENDER_PX))
        stages.take("grey and inpaint mask", lambda: (product_on_grey(fitted), inpaint_mask(fitted)))
    large = stages.take("enlarge", lambda: enlarge(scene, CANVAS))
    dark = stages.take("shadow", lambda: contact_shadow(flat)) if shadow else None
    picture = stages.take("composite", lambda: composite(flat, large, dark))
    by = {"enlarged_by": CANVAS.width / RENDER_PX, "product_by": enlargement(layout)}
    verdict = stages.take("inspect", lambda: inspect(flat, picture, generated=True, **by))
    if verdict.level == "failed":
        raise SystemExit(f"parity: the picture must pass inspection, got {verdict.to_json()}")
    return stages.take("encode", lambda: encode_png(picture))


def from_the_start(stored: tuple[bytes, bytes], scene: U8, stages: Stages) -> bytes:
    """Everything from the stored photo and mask on."""
    photo = stages.take("read photo", lambda: read_photo(stored[0]))
    mask = stages.take("read mask", lambda: read_mask(stored[1]))
    return finished(stages.take("cut", lambda: cut(photo, mask)), scene, stages, small=True)


def bare(cutout: Cutout, scene: U8) -> bytes:
    """The other side: what a short OpenCV program does, and nothing besides."""
    longer = max(cutout.width, cutout.height)
    side = SCALE * CANVAS.width / longer
    width, height = int(cutout.width * side + 0.5), int(cutout.height * side + 0.5)
    product = cv2.resize(cutout.pixels, (width, height), interpolation=cv2.INTER_AREA)
    picture = cv2.resize(scene, (CANVAS.width, CANVAS.height), interpolation=cv2.INTER_LANCZOS4)
    left, top = int((CANVAS.width - width) / 2 + 0.5), int(AT_Y * CANVAS.height - height / 2 + 0.5)
    behind = picture[top : top + height, left : left + width]
    share = product[..., 3:].astype(np.float32) / 255
    behind[:] = np.rint(product[..., :3] * share + behind * (1 - share))
    return bytes(cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1])


def compared(cutout: Cutout, scene: U8) -> str:
    """How far the two sides' pictures are apart, ours without its shadow; they must be the same picture."""
    ours, theirs = read_png(finished(cutout, scene, Stages(), shadow=False)), read_png(bare(cutout, scene))
    apart = float(np.abs(ours.astype(np.float32) - theirs).mean())
    if ours.shape != theirs.shape or apart > APART_LEVELS:
        raise SystemExit(f"parity: both pictures must agree within {APART_LEVELS} levels in the mean, got {apart:.2f}")
    return f"{apart:.2f} of 255 levels apart in the mean, without the shadow"


def show(stages: Stages, sides: Sides) -> None:
    """Print the stages' medians."""
    table = Table(title="P11-all: core-milliseconds", title_justify="left")
    table.add_column("stage")
    table.add_column("median", justify="right")
    rows = {name: statistics.median(values) for name, values in stages.core_s.items()}
    rows |= {"all": statistics.median(stages.sums_s), "the bare side of P11": statistics.median(sides.theirs_s)}
    for name, core_s in rows.items():
        table.add_row(name, f"{1000 * core_s:.1f}")
    Console(stderr=True).print(table)


if __name__ == "__main__":
    raise SystemExit(main())
