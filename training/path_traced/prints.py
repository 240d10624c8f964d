"""Printed labels: what they say, and the picture that is put on a package. Words are invented; no brand is meant."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from training.path_traced.scene_plan import Label, Rgb

_STARTS = (
    "ve",
    "lu",
    "mo",
    "sol",
    "a",
    "ka",
    "no",
    "ri",
    "el",
    "bo",
    "ta",
    "or",
    "fen",
    "mi",
    "zu",
    "hal",
    "pe",
    "syl",
    "dor",
    "cy",
)
_ENDS = (
    "ra",
    "na",
    "lis",
    "mo",
    "va",
    "ren",
    "to",
    "sa",
    "lia",
    "nor",
    "ka",
    "dine",
    "bel",
    "ro",
    "vi",
    "ma",
    "the",
    "lo",
)
GOODS = (
    "body lotion", "shampoo", "olive oil", "face cream", "hand soap", "green tea", "dark roast", "sea salt", "honey",
    "sparkling water", "shower gel",
    "vitamin c", "herbal tonic", "oat milk", "cold brew", "lip balm", "eau de parfum", "hair serum", "granola",
    "cocoa", "tomato sauce", "chili jam",
    "night repair", "pure aloe", "fig & cedar", "wild mint", "lemon peel", "daily care",
)  # fmt: skip
_SMALL = (
    "250 ml",
    "100 ml",
    "50 g",
    "No. 5",
    "500 g",
    "organic",
    "since 1998",
    "made by hand",
    "12 fl oz",
    "vegan",
    "75 ml",
    "batch 27",
)
_PAPERS: tuple[Rgb, ...] = (
    (0.96, 0.95, 0.92), (1.0, 1.0, 1.0), (0.10, 0.10, 0.11), (0.90, 0.83, 0.72), (0.12, 0.24, 0.34),
    (0.75, 0.22, 0.18), (0.82, 0.88, 0.80), (0.95, 0.78, 0.30), (0.93, 0.76, 0.77), (0.20, 0.33, 0.26),
    (0.55, 0.68, 0.80),
)  # fmt: skip
STYLES = 4
LABEL_PX = 384


def draw_label(dice: random.Random) -> Label:
    """What a label says and how."""
    title = dice.choice(_STARTS) + "".join(dice.choice(_ENDS) for _ in range(dice.choice((1, 1, 2))))
    paper = dice.choice(_PAPERS)
    dark = sum(paper) < 1.5
    ink: Rgb = (
        (0.97, 0.96, 0.92)
        if dark
        else dice.choice(((0.08, 0.08, 0.09), (0.10, 0.16, 0.30), (0.35, 0.10, 0.10), (0.10, 0.24, 0.16)))
    )
    if dark and dice.random() < 0.3:
        ink = (0.86, 0.70, 0.40)
    title = title.upper() if dice.random() < 0.6 else title.capitalize()
    return Label(
        title, dice.choice(GOODS), dice.choice(_SMALL), paper, ink, dice.randrange(STYLES), dice.randrange(1000)
    )


def picture(label: Label, fonts: Sequence[Path], aspect: float) -> Image.Image:
    """The label as RGB. fonts: any of them; the label's number chooses. aspect: width over height."""
    width, height = (LABEL_PX, round(LABEL_PX / aspect)) if aspect >= 1 else (round(LABEL_PX * aspect), LABEL_PX)
    paper, ink = (tuple(round(c * 255) for c in rgb) for rgb in (label.paper, label.ink))
    sheet = Image.new("RGB", (width, height), paper)
    draw = ImageDraw.Draw(sheet)
    path = fonts[label.font % len(fonts)] if fonts else None
    middle = width / 2
    places = ((0.40, 0.58, 0.88), (0.22, 0.40, 0.90), (0.62, 0.76, 0.12), (0.50, 0.66, 0.84))[label.style]
    if label.style == 0:
        draw.rectangle(
            (width * 0.06, height * 0.05, width * 0.94, height * 0.95), outline=ink, width=max(1, height // 90)
        )
    elif label.style == 1:
        draw.rectangle((0, height * 0.52, width, height * 0.80), fill=ink)
    elif label.style == 2:
        reach = min(width, height) * 0.17
        round_mark = (middle - reach, height * 0.36 - reach, middle + reach, height * 0.36 + reach)
        draw.ellipse(round_mark, outline=ink, width=max(2, height // 60))
    else:
        draw.line((width * 0.2, height * 0.58, width * 0.8, height * 0.58), fill=ink, width=max(1, height // 110))
    for text, at, room, tall in zip(
        (label.title, label.subtitle, label.small), places, (0.72, 0.7, 0.45), (0.2, 0.085, 0.06), strict=True
    ):
        font = _fitting(text, path, width * room, height * tall)
        draw.text((middle, height * at), text, fill=ink, font=font, anchor="mm")
    return sheet


def _fitting(text: str, path: Path | None, wide: float, tall: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The largest size of the font at which the text fits."""
    size = max(int(tall * 1.3), 8)
    while True:
        font = ImageFont.truetype(str(path), size) if path else ImageFont.load_default(size)
        if size <= 8 or font.getbbox(text)[2] <= wide:
            return font
        size = int(size * 0.92)
