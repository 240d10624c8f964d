"""Draw a set report as one picture: outliers, pictures with framed findings, and sets' measures as strips of dots."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from packshot.contract.set_report import Defective, Outlier, SetOfReport, SetReport, Spread
from packshot.types import BoxXYXY

__all__ = ["SHOWN_OUTLIERS", "draw_report"]

SHOWN_OUTLIERS = 10
SHOWN_SETS = 40

FINE = 2
"""Everything is drawn larger by this factor and then reduced, so that edges are smooth."""
WIDTH, MARGIN, GAP = 1400, 48, 24
COLUMNS = 5
CARD_PX = (WIDTH - 2 * MARGIN - (COLUMNS - 1) * GAP) // COLUMNS
CAPTION_PX = 74
SET_PX, STRIP_PX = 150, 44

INK, QUIET, RULE, BAND, DOT, OFF, PAPER = "#1c1b19", "#6d6a64", "#dedbd5", "#e3eee4", "#3f6f4a", "#c0392b", "#ffffff"
FRAMES = {"failed": OFF, "warning": "#d99a00", "ok": DOT}
TITLES = {"ground": "Ground line", "fill": "Size", "background": "Background colour", "shadow": "Shadow"}


def draw_report(report: SetReport, thumbnails: Mapping[str, bytes]) -> bytes:
    """The report as a PNG, 1,400 px wide. `thumbnails` has a PNG or JPEG of each picture that is shown, by image id.

    These are the first SHOWN_OUTLIERS of the outliers, and as many of the pictures with findings at a place.
    """
    shown = [one for one in report.outliers[:SHOWN_OUTLIERS] if one.image_id in thumbnails]
    framed = [one for one in report.defective[:SHOWN_OUTLIERS] if one.image_id in thumbnails]
    sets = report.sets[:SHOWN_SETS]
    height = 150 + _cards_px(shown) + _cards_px(framed) + len(sets) * SET_PX + MARGIN
    page = _Page(height)
    page.text(MARGIN, 36, report.name, 34, INK)
    page.text(MARGIN, 88, _summary(report), 18, OFF if report.outliers_total else DOT)
    y = 136
    parts: tuple[tuple[str, Sequence[Outlier | Defective], int], ...] = (
        ("What stands out", shown, report.outliers_total),
        ("Findings in pictures", framed, report.defective_total),
    )
    for title, some, total in parts:
        if some:
            page.text(MARGIN, y, title + _of_more(len(some), total), 20, INK)
            for at, one in enumerate(some):
                x = MARGIN + at % COLUMNS * (CARD_PX + GAP)
                _card(page, x, y + 42 + at // COLUMNS * (CARD_PX + CAPTION_PX + GAP), one, thumbnails[one.image_id])
        y += _cards_px(some)
    for of_look in sets:
        _set(page, y, of_look)
        y += SET_PX
    return page.png()


def _cards_px(shown: Sequence[Outlier | Defective]) -> int:
    """The height of a heading and its cards; 0 without any."""
    return 50 + -(-len(shown) // COLUMNS) * (CARD_PX + CAPTION_PX + GAP) if shown else 0


def _summary(report: SetReport) -> str:
    counted = f"{_counted(report.pictures, 'picture')} in {_counted(len(report.sets), 'set')}"
    if report.measured < report.pictures:
        counted += f", {report.measured:,} of them measured"
    if report.generated:
        counted += f", {report.generated:,} with a generated product"
    if not report.measured:
        return counted
    if report.outliers_total == 0:
        return f"{counted}: all of them look like their set"
    return f"{counted}: {report.outliers_total:,} {'stands' if report.outliers_total == 1 else 'stand'} out"


def _counted(count: int, one: str) -> str:
    return f"{count:,} {one}{'' if count == 1 else 's'}"


def _of_more(shown: int, total: int) -> str:
    return f" (the worst {shown} of {total:,})" if total > shown else ""


def _card(page: _Page, x: int, y: int, one: Outlier | Defective, thumbnail: bytes) -> None:
    place = page.picture(x, y, CARD_PX, thumbnail)
    if isinstance(one, Defective):
        for found in one.findings:
            if found.box is not None:
                page.frame(place, found.box, FRAMES[found.level])
        detail = f"{one.findings[0].check}: {one.findings[0].detail}"
    else:
        detail = one.detail
    page.text(x, y + CARD_PX + 8, page.fitted(f"{one.sku} · {one.scene}", 16, CARD_PX), 16, INK)
    for at, line in enumerate(page.wrapped(detail.partition(";")[0], 14, CARD_PX)[:2]):
        page.text(x, y + CARD_PX + 31 + at * 19, line, 14, OFF)


def _set(page: _Page, y: int, one: SetOfReport) -> None:
    page.line(MARGIN, y, WIDTH - MARGIN, y)
    x = MARGIN
    if one.background_lab is not None:
        page.swatch(x, y + 17, 18, _rgb(one.background_lab))
        x += 28
    page.text(x, y + 15, f"{one.scene}", 18, INK)
    facts = f"{one.canvas[0]} × {one.canvas[1]}, {_counted(one.pictures, 'picture')}"
    page.text(WIDTH - MARGIN, y + 17, facts, 15, QUIET, "ra")
    wide = (WIDTH - 2 * MARGIN - 3 * GAP) // 4
    for at, spread in enumerate(one.spreads):
        _strip(page, MARGIN + at * (wide + GAP), y + 52, wide, spread)


def _strip(page: _Page, x: int, y: int, width: int, spread: Spread) -> None:
    """The values as dots on a line from the least to the most, with the tolerance as a band."""
    page.text(x, y, TITLES[spread.measure], 14, QUIET)
    if spread.least is None or spread.most is None:
        page.text(x + width, y, "nothing to compare", 14, QUIET, "ra")
        return
    page.text(x + width, y, _range(spread), 14, OFF if spread.outliers else INK, "ra")
    one_sided = spread.measure in ("background", "shadow")
    low = 0.0 if one_sided else min(spread.least, spread.target - 2 * spread.tolerance)
    high = max(spread.most, spread.target + 2 * spread.tolerance)

    def across(value: float) -> float:
        return x + 6 + (value - low) / (high - low) * (width - 12)

    top, bottom = y + 22, y + 22 + STRIP_PX
    first = across(spread.target if one_sided else spread.target - spread.tolerance)
    page.box(first, top, across(spread.target + spread.tolerance), bottom, BAND)
    page.line(x, bottom, x + width, bottom)
    page.line(round(across(spread.target)), top, round(across(spread.target)), bottom, QUIET)
    for at, value in enumerate(spread.values):
        off = abs(value - spread.target) > spread.tolerance
        level = (at * 0.618) % 1  # spreads equal values over the strip's height
        page.dot(across(value), top + 7 + level * (STRIP_PX - 14), 3.5, OFF if off else DOT)


def _range(spread: Spread) -> str:
    least, most = spread.least or 0.0, spread.most or 0.0
    if spread.measure == "background":
        return f"up to {most:.1f} ΔE, tolerated {spread.tolerance:g}"
    if spread.measure == "shadow":
        return f"up to {most:.0f}°, tolerated {spread.tolerance:g}°"
    return f"{least:.1%} to {most:.1%}, target {spread.target:.1%} ± {spread.tolerance:.0%}"


def _rgb(lab: Sequence[float]) -> tuple[int, int, int]:
    pixel = cv2.cvtColor(np.array([[lab]], np.float32), cv2.COLOR_LAB2RGB)[0, 0]
    red, green, blue = (int(np.clip(round(float(value) * 255), 0, 255)) for value in pixel)
    return red, green, blue


class _Page:
    """A white page on which things are drawn at the finished picture's coordinates, in pixels."""

    def __init__(self, height: int) -> None:
        self._image = Image.new("RGB", (WIDTH * FINE, height * FINE), PAPER)
        self._draw = ImageDraw.Draw(self._image)

    def text(self, x: int, y: int, text: str, size: int, colour: str, anchor: str = "la") -> None:
        self._draw.text((x * FINE, y * FINE), _drawable(text), colour, _font(size), anchor=anchor)

    def fitted(self, text: str, size: int, width: int) -> str:
        """The text, shortened in its middle if it is wider than `width`."""
        if self._wide(text, size) <= width:
            return text
        keep = len(text)
        while keep > 2 and self._wide(f"{text[: keep // 2]}…{text[-(keep // 2) :]}", size) > width:
            keep -= 1
        return f"{text[: keep // 2]}…{text[-(keep // 2) :]}"

    def wrapped(self, text: str, size: int, width: int) -> list[str]:
        """The text in lines that are no wider than `width`, broken at spaces."""
        lines = [""]
        for word in text.split():
            longer = f"{lines[-1]} {word}".strip()
            if self._wide(longer, size) <= width:
                lines[-1] = longer
            else:
                lines.append(word)
        return lines

    def picture(self, x: int, y: int, side: int, data: bytes) -> BoxXYXY:
        """A picture inside of a square with a thin frame. Returns its place, XYXY in fine pixels."""
        with Image.open(io.BytesIO(data)) as found:
            picture = found.convert("RGBA")
        by = side * FINE / max(picture.size)
        picture = picture.resize((max(1, round(picture.width * by)), max(1, round(picture.height * by))))
        left, top = x * FINE + (side * FINE - picture.width) // 2, y * FINE + (side * FINE - picture.height) // 2
        self._image.paste(picture, (left, top), picture)
        self._draw.rectangle((x * FINE, y * FINE, (x + side) * FINE, (y + side) * FINE), outline=RULE, width=FINE)
        return left, top, left + picture.width, top + picture.height

    def frame(self, place: BoxXYXY, box: tuple[float, float, float, float], colour: str) -> None:
        """A frame at `box`, XYXY as shares of a picture that lies at `place`."""
        left, top, right, bottom = place
        x0, x1 = (left + share * (right - left) for share in (box[0], box[2]))
        y0, y1 = (top + share * (bottom - top) for share in (box[1], box[3]))
        self._draw.rectangle((x0, y0, max(x0, x1), max(y0, y1)), outline=colour, width=3 * FINE)

    def swatch(self, x: int, y: int, side: int, rgb: tuple[int, int, int]) -> None:
        corners = (x * FINE, y * FINE, (x + side) * FINE, (y + side) * FINE)
        self._draw.rectangle(corners, fill=rgb, outline=RULE, width=FINE)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: str) -> None:
        self._draw.rectangle((x0 * FINE, y0 * FINE, x1 * FINE, y1 * FINE), fill=colour)

    def line(self, x0: int, y0: int, x1: int, y1: int, colour: str = RULE) -> None:
        self._draw.line((x0 * FINE, y0 * FINE, x1 * FINE, y1 * FINE), colour, FINE)

    def dot(self, x: float, y: float, radius: float, colour: str) -> None:
        self._draw.circle((x * FINE, y * FINE), radius * FINE, fill=colour, outline=PAPER, width=1)

    def png(self) -> bytes:
        out = io.BytesIO()
        reduced = self._image.resize((WIDTH, self._image.height // FINE), Image.Resampling.BOX)
        reduced.save(out, "PNG", optimize=False)
        return out.getvalue()

    def _wide(self, text: str, size: int) -> float:
        return _font(size).getlength(_drawable(text)) / FINE


def _drawable(text: str) -> str:
    """The text in the characters of Pillow's own font, which has no accents: `ü` is drawn as `u`."""
    plain = unicodedata.normalize("NFKD", text.replace("ΔE", "dE").replace("ß", "ss").replace(" × ", " x "))
    kept = (one for one in plain if not unicodedata.combining(one))
    return "".join(one if one.isascii() or one in "·…°±" else "?" for one in kept)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size * FINE)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("Pillow was built without FreeType, which set reports need; install Pillow's own wheel")
    return font
