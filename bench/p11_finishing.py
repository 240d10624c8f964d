"""P11: the core-seconds of finishing a picture, against a bare OpenCV composite and PNG.

One 1024 px picture of the coffee photo at 2.7 megapixels, in one thread. Both sides start from the same cutout and the
same render of 256 px. Our side places the cutout, draws its shadow, enlarges the render, composites, inspects and
encodes. The bare side resizes both pictures, blends them by alpha and encodes, all in OpenCV. A second row starts from
the stored photo: it also reads, cuts out and prepares the engine's small layout.
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

from bench.harness import Row, Sides, interleave, print_row, report, timed
from packshot.contract.shot_spec import Canvas
from packshot.imaging.canvas import cut, enlargement, fit_to, flatten
from packshot.imaging.codec import encode_bilevel_png, encode_png, read_mask, read_photo, read_png
from packshot.imaging.composite import Ground, composite, enlarge, inpaint_mask, product_on_grey
from packshot.imaging.light.contact import contact_shadow
from packshot.types import U8, Cutout, Layer, Layout
from packshot.verdict.inspect import inspect

ROW = Row("P11", "core-seconds of finishing a 1024 px picture, its cutout at hand ÷ a bare OpenCV composite + PNG", 2.0)
ALL = Row("P11-all", "core-seconds from the stored photo and the render to the PNG", 0.25)
PHOTO = (2000, 1350)
CANVAS = Canvas(1024, 1024)
RENDER_PX = 256
SCALE, AT_Y = 0.7, 0.55  # scale and vertical position of the cutout on the canvas
REPEATS = 15
APART_LEVELS = 2.0
"""Largest mean difference of the two sides' pictures without a shadow. They resample with different kernels."""

T = TypeVar("T")


@dataclass
class Stages:
    """The core-seconds of each stage, one value per repeat."""

    core_s: dict[str, list[float]] = field(default_factory=dict)

    def take(self, name: str, call: Callable[[], T]) -> T:
        """Call, and record the processor time under `name`."""
        started_at = time.process_time()
        answer = call()
        self.core_s.setdefault(name, []).append(time.process_time() - started_at)
        return answer

    @property
    def sums_s(self) -> list[float]:
        """The sum of all stages in each repeat."""
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
    # Reference for the absolute figure: a slower core also takes longer to deflate.
    calibration = f"this core deflates the photo's pixels at zlib's level 1 in {statistics.median(deflate_s):.3f} s"
    return 0 if print_row(ALL, stages.sums_s, calibration=calibration) and holds else 1


@contextmanager
def one_thread() -> Iterator[None]:
    """Run OpenCV in the calling thread only: with more threads, waking them would add to the core-seconds."""
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
    """The cutout on the canvas."""
    return Layout(CANVAS, (Layer(cutout, 0.5, AT_Y, SCALE),))


def finished(cutout: Cutout, scene: U8, stages: Stages, *, shadow: bool = True, small: bool = False) -> bytes:
    """Our side: the finished picture as a PNG. `small` also prepares the engine's input."""
    layout = layout_of(cutout)
    flat = stages.take("flatten", lambda: flatten(layout))
    if small:
        fitted = stages.take("fit to the engine", lambda: fit_to(flat, RENDER_PX, RENDER_PX))
        stages.take("grey and inpaint mask", lambda: (product_on_grey(fitted), inpaint_mask(fitted)))
    large = stages.take("enlarge", lambda: enlarge(scene, CANVAS))
    dark = stages.take("shadow", lambda: contact_shadow(flat)) if shadow else None
    picture = stages.take("composite", lambda: composite(flat, large, Ground(dark)))
    enlarged_by, product_by = CANVAS.width / RENDER_PX, enlargement(layout)
    verdict = stages.take(
        "inspect", lambda: inspect(flat, picture, generated=True, enlarged_by=enlarged_by, product_by=product_by)
    )
    if verdict.level == "failed":
        raise SystemExit(f"parity: the picture must pass inspection, got {verdict.to_json()}")
    return stages.take("encode", lambda: encode_png(picture))


def from_the_start(stored: tuple[bytes, bytes], scene: U8, stages: Stages) -> bytes:
    """Our side from the stored photo and mask on, both as PNG."""
    photo = stages.take("read photo", lambda: read_photo(stored[0]))
    mask = stages.take("read mask", lambda: read_mask(stored[1]))
    return finished(stages.take("cut", lambda: cut(photo, mask)), scene, stages, small=True)


def bare(cutout: Cutout, scene: U8) -> bytes:
    """The other side: what a short OpenCV program does."""
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
    """Check that both sides make the same picture (ours without its shadow), and return the difference in words."""
    ours, theirs = read_png(finished(cutout, scene, Stages(), shadow=False)), read_png(bare(cutout, scene))
    apart = float(np.abs(ours.astype(np.float32) - theirs).mean())
    if ours.shape != theirs.shape or apart > APART_LEVELS:
        raise SystemExit(f"parity: the mean difference must be at most {APART_LEVELS} levels, got {apart:.2f}")
    return f"mean difference {apart:.2f} of 255 levels, without the shadow"


def show(stages: Stages, sides: Sides) -> None:
    """Print the median of each stage."""
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
