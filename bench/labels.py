"""Drawn labels for the proof of text: a product with printed lines, and the same product with one digit changed.

The fonts are those of this machine, the two that Pillow and OpenCV bring included, so nothing is downloaded.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from packshot.types import U8

__all__ = ["Label", "Line", "draw", "fonts", "random_label", "with_changed_digit"]

WIDTH_PX, HEIGHT_PX = 900, 1100
"""Size of a drawn product, pixels of its photo."""
STROKES = "OpenCV"
"""The typeface that OpenCV draws, of strokes."""
DIGIT_HEIGHT = 0.72
"""Height of a digit for each pixel of a font's size."""
BRANDS = ("AURORA", "Nordlicht", "Maison Vert", "KESTREL", "Silva & Co", "Botanica", "HELIOS", "Terra Nova")
WORDS = ("Hydrating serum", "Hand cream", "Dry gin", "Night repair", "For daily use", "Shake well", "Made in Italy")
NUMBERS: tuple[Callable[[random.Random], str], ...] = (
    lambda dice: f"{dice.choice((30, 50, 75, 100, 250, 500))} ml",
    lambda dice: f"{dice.randint(10, 99)} g / {dice.randint(1, 9)}.{dice.randint(0, 9)} oz",
    lambda dice: f"Vitamin C {dice.randint(5, 25)}%",
    lambda dice: f"SPF {dice.choice((15, 30, 50))}",
    lambda dice: f"LOT {dice.randint(1000, 9999)}-{dice.choice('ABCDEHKLMNPRT')}{dice.randint(1, 9)}",
    lambda dice: f"EXP {dice.randint(1, 12):02}/20{dice.randint(26, 39)}",
    lambda dice: f"{dice.randint(3, 45)}.{dice.randint(0, 9)} % vol",
    lambda dice: f"Zinc {dice.randint(2, 90)} mg",
    lambda dice: "40" + "".join(dice.choice("0123456789") for _ in range(11)),
    lambda dice: f"{dice.choice((20, 60, 90, 120))} capsules",
)
INKS = (((240, 236, 226), (28, 28, 32)), ((34, 52, 60), (240, 240, 236)), ((205, 176, 120), (40, 24, 12)))
"""Pairs of a product's colour and its print's, RGB."""


@dataclass(frozen=True)
class Line:
    """A printed line: its text, the place of its left top corner, and the size of its font, pixels."""

    text: str
    at: tuple[int, int]
    size_px: int


@dataclass(frozen=True)
class Label:
    """A label: its lines, its typeface, its colours (RGB), and how far its print is turned, degrees."""

    lines: tuple[Line, ...]
    font: str
    colours: tuple[tuple[int, int, int], tuple[int, int, int]]
    turn_deg: float
    seed: int


@lru_cache(maxsize=1)
def fonts() -> tuple[str, ...]:
    """The typefaces: the files of text fonts that this machine has, Pillow's own ("") and OpenCV's strokes."""
    listed = subprocess.run(["fc-list", ":lang=en", "file"], capture_output=True, text=True, check=False).stdout
    files = sorted(line.rstrip(": ") for line in listed.splitlines() if line.rstrip(": ").endswith((".ttf", ".otf")))
    texts = [file for file in files if "Math" not in file and "glyphicons" not in file]
    return (*texts, "", STROKES)


def random_label(seed: int, smallest_digit_px: float) -> Label:
    """A label whose digits are at least so high, pixels of the photo: a brand, words, and four lines with numbers."""
    dice = random.Random(seed)
    texts = [dice.choice(BRANDS), dice.choice(WORDS), *(make(dice) for make in dice.sample(NUMBERS, 4))]
    least = smallest_digit_px / DIGIT_HEIGHT
    lines, top = [], 120
    for place, text in enumerate(texts):
        largest = min(WIDTH_PX * 0.8 / (0.62 * len(text)), 78)
        size = 70 if place == 0 else dice.uniform(least, max(least, min(largest, least * 2.2)))
        size_px = round(min(max(size, least), max(least, largest))) + 1
        lines.append(Line(text, (dice.randint(80, 130), top), size_px))
        top += round(size_px * 1.3) + dice.randint(30, 60)
    return Label(tuple(lines), fonts()[seed % len(fonts())], dice.choice(INKS), dice.uniform(-10, 10), seed)


def with_changed_digit(label: Label, number: int) -> tuple[Label, Line]:
    """The label with another digit in one of its lines; the line as it was printed before. `number` selects the digit.

    The new digit is any other, so pairs that look alike (3 and 8, 5 and 6) occur.
    """
    dice = random.Random(label.seed * 1000 + number)
    places = [(at, place) for at, line in enumerate(label.lines) for place, c in enumerate(line.text) if c.isdigit()]
    at, place = dice.choice(places)
    line = label.lines[at]
    other = dice.choice([digit for digit in "0123456789" if digit != line.text[place]])
    changed = replace(line, text=line.text[:place] + other + line.text[place + 1 :])
    return replace(label, lines=(*label.lines[:at], changed, *label.lines[at + 1 :])), line


def draw(label: Label) -> U8:
    """The product as its cutout, uint8 HxWx4 RGBA: a box with rounded corners, shaded, with the label's print."""
    ground, ink = label.colours
    product = Image.new("RGB", (WIDTH_PX, HEIGHT_PX), ground)
    ink_mask = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
    for line in label.lines:
        ink_mask = np.maximum(ink_mask, _printed(line, label.font))
    middle = (WIDTH_PX / 2, HEIGHT_PX / 2)
    ink_mask = cv2.warpAffine(
        ink_mask, cv2.getRotationMatrix2D(middle, label.turn_deg, 0.88), (WIDTH_PX, HEIGHT_PX), flags=cv2.INTER_CUBIC
    )
    share = ink_mask[..., None].astype(np.float32) / 255
    across = np.cos(np.linspace(-1.1, 1.1, WIDTH_PX, dtype=np.float32))[None, :, None]
    noise = np.random.default_rng(label.seed).normal(0, 2.5, (HEIGHT_PX, WIDTH_PX, 1)).astype(np.float32)
    rgb = (np.asarray(product, np.float32) * (1 - share) + np.array(ink, np.float32) * share) * (
        0.55 + 0.45 * across
    ) + noise
    alpha = Image.new("L", (WIDTH_PX, HEIGHT_PX), 0)
    ImageDraw.Draw(alpha).rounded_rectangle((4, 4, WIDTH_PX - 5, HEIGHT_PX - 5), 70, fill=255)
    return np.dstack([np.clip(rgb, 0, 255).astype(np.uint8), np.asarray(alpha)])


def _printed(line: Line, font: str) -> U8:
    """The ink of a line, uint8 HxW."""
    if font == STROKES:
        ink = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
        scale = line.size_px * DIGIT_HEIGHT / 21  # the strokes of a digit are 21 px high at scale 1
        at = (line.at[0], line.at[1] + round(21 * scale))
        width = max(1, round(scale * 2))
        return np.asarray(cv2.putText(ink, line.text, at, cv2.FONT_HERSHEY_DUPLEX, scale, (255,), width, cv2.LINE_AA))
    drawn = Image.new("L", (WIDTH_PX, HEIGHT_PX), 0)
    face = ImageFont.truetype(font, line.size_px) if font else ImageFont.load_default(line.size_px)
    ImageDraw.Draw(drawn).text(line.at, line.text, font=face, fill=255)
    return np.asarray(drawn)
