"""Synthetic product photos. The same seed, number and size give the same bytes on every worker.

Each shows a bottle in one strong colour on a pale backdrop, with grain. A segmenter finds the bottle by its box, the
grain keeps the JPEG at a realistic size, and photos of different numbers differ in colour and shape.
"""

from __future__ import annotations

import colorsys
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from loadtest.scenarios.scenario import PhotoRow

POOL = 8
"""Photos drawn per run. Uploads of the same photo differ by a JPEG comment, so each is new to the server."""
SUPERSAMPLE = 2
DRAWN_PX = 2048
"""Longest side of a drawing. A larger photo (12 Mpx) is drawn smaller and enlarged; its grain is full resolution."""


@dataclass(frozen=True)
class DrawnPhoto:
    """A JPEG file, its size and the box of the product in it, in pixels."""

    data: bytes
    width: int
    height: int
    box_xyxy: tuple[int, int, int, int]

    def unique(self, name: str) -> bytes:
        """The same picture as different bytes: `name` is inserted as a comment segment after the first marker."""
        text = f"packshot loadtest {name}".encode()
        return self.data[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + self.data[2:]


def draw_pool(sizes: Sequence[PhotoRow], seed: int) -> list[DrawnPhoto]:
    """All photos of a run, as a list."""
    return list(pool(sizes, seed))


def pool(sizes: Sequence[PhotoRow], seed: int) -> Iterator[DrawnPhoto]:
    """Draw the photos of a run one by one: one of each size, then sizes drawn by their shares up to POOL photos."""
    rng = Random(f"photos/{seed}")
    drawn = list(sizes) + rng.choices(sizes, [row.share for row in sizes], k=max(0, POOL - len(sizes)))
    for number, row in enumerate(drawn):
        yield draw(number, row.width, row.height, seed)


def draw(number: int, width: int, height: int, seed: int = 0) -> DrawnPhoto:
    """Draw one photo of `width` × `height` pixels. `number` and `seed` determine what it shows."""
    rng = Random(f"photo/{seed}/{number}")
    backdrop = tuple(rng.randrange(205, 240) for _ in range(3))
    hue = (number * 0.618 + rng.random() * 0.1) % 1.0
    colour = tuple(round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.85, 0.65))
    zoom = min(SUPERSAMPLE, DRAWN_PX / max(width, height))
    big = Image.new("RGB", (round(width * zoom), round(height * zoom)), backdrop)
    pen = ImageDraw.Draw(big)
    side = min(width, height) * rng.uniform(0.5, 0.65)
    body_w, body_h = side * rng.uniform(0.45, 0.8), side
    left, top = (width - body_w) / 2 + rng.uniform(-0.05, 0.05) * width, (height - body_h) / 2
    neck_w, neck_h = body_w * 0.4, body_h * 0.22

    def scaled(*box: float) -> tuple[float, ...]:
        return tuple(zoom * value for value in box)

    pen.ellipse(
        scaled(left - 0.1 * body_w, top + 0.93 * body_h, left + 1.1 * body_w, top + 1.05 * body_h),
        fill=tuple(part - 45 for part in backdrop),
    )
    big = big.filter(ImageFilter.GaussianBlur(side * 0.02 * zoom))
    pen = ImageDraw.Draw(big)
    shoulder = top + neck_h
    pen.rectangle(
        scaled(left + (body_w - neck_w) / 2, top, left + (body_w + neck_w) / 2, shoulder + neck_h), fill=colour
    )
    pen.rounded_rectangle(scaled(left, shoulder, left + body_w, top + body_h), radius=body_w * 0.18 * zoom, fill=colour)
    pen.rectangle(
        scaled(left + body_w * 0.12, top + body_h * 0.5, left + body_w * 0.88, top + body_h * 0.78),
        fill=(246, 243, 232),
    )
    for row in range(3):  # the lines of text on the label
        y = top + body_h * (0.56 + 0.07 * row)
        pen.line(
            scaled(left + body_w * 0.2, y, left + body_w * (0.5 + 0.3 * rng.random()), y),
            fill=colour,
            width=max(1, round(body_h * 0.02 * zoom)),
        )
    pixels = np.asarray(big.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    grain = np.random.default_rng([seed, number]).integers(-6, 7, (height, width, 1), np.int16)
    out = io.BytesIO()
    Image.fromarray((pixels + grain).clip(0, 255).astype(np.uint8)).save(out, "JPEG", quality=90)
    box = (round(left), round(top), round(left + body_w), round(top + body_h))
    return DrawnPhoto(out.getvalue(), width, height, box)
