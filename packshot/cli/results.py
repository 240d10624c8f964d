"""The files that `packshot shoot` writes, and the table of what was made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from packshot.errors import StorageFull
from packshot.imaging.decoding.formats import FORMATS, sniff

__all__ = ["Results", "verdict_words"]


class Results:
    """The folder of the results.

        NAME-01-seed7.png          the finished pictures
        NAME-01-seed7-PRESET.jpg   a picture as a channel takes it
        NAME-cutout.png            the product, RGBA
        NAME-mask.png              its mask, 8-bit grey, 255 = product: what --mask takes
        NAME-marked.jpg            the photo with everything outside of the mask darkened, to look at

    Raises StorageFull when a file cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def first_image(self, name: str, seed: int) -> Path:
        """The path of a photo's first picture."""
        return self._folder / f"{name}-01-seed{seed}.png"

    def keep_image(self, name: str, number: int, seed: int, png: bytes) -> Path:
        """Write a picture. Returns its path."""
        return self._write(f"{name}-{number:02d}-seed{seed}.png", png)

    def keep_delivery(self, name: str, number: int, seed: int, preset: str, data: bytes) -> Path:
        """Write a picture in a channel's format. Returns its path."""
        form = FORMATS.get(sniff(data) or "")
        return self._write(f"{name}-{number:02d}-seed{seed}-{preset}.{form.suffixes[0] if form else 'bin'}", data)

    def keep_cut(self, name: str, photo: bytes, mask_png: bytes, cutout_png: bytes) -> None:
        """Write the cutout, the mask, and the photo with everything outside the mask darkened."""
        from PIL import Image  # not packshot.imaging.codec: with --host, none of the server's packages are needed

        self._write(f"{name}-cutout.png", cutout_png)
        self._write(f"{name}-mask.png", mask_png)
        shown = Image.open(BytesIO(photo)).convert("RGB")
        product = Image.open(BytesIO(mask_png)).convert("L").point(lambda value: 255 * (value >= 128))
        marked = BytesIO()
        Image.composite(shown, shown.point(lambda value: value // 4), product).save(marked, "JPEG", quality=90)
        self._write(f"{name}-marked.jpg", marked.getvalue())

    def _write(self, name: str, data: bytes) -> Path:
        path = self._folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        except OSError as error:
            detail = f"{path} cannot be written: {error.strerror or error}; make room, or choose another --out"
            raise StorageFull("storage_full", detail) from error
        return path


def verdict_words(verdict: dict[str, Any]) -> str:
    """A verdict in one line: its level, and the reason for every finding that is not ok."""
    return "; ".join((str(verdict["level"]), *_reasons(verdict["findings"])))


def _reasons(findings: Iterable[dict[str, Any]]) -> Iterator[str]:
    yield from (f"{finding['check']}: {finding['detail']}" for finding in findings if finding["level"] != "ok")
