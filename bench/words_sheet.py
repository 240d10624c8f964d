"""A sheet of words and what they find: boxes and masks on real photos and renders, to look at.

python -m bench.words_sheet --out words.jpg        # the mini pack; --pack NAME for another one that is here

Each tile is asked one question, through the API, in this process. The found products are bright, each in its box with
the detector's score; the caption has the words, and whether the photo shows them.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import skimage.data
from PIL import Image

from graphs.one_process import serving_in_process
from packshot.client import Client
from packshot.contract.answers import MasksAnswer
from packshot.imaging.codec import encode_png
from packshot.settings import Settings
from packshot.types import U8

RENDERS = Path("tests/catalogue/photos")
QUESTIONS: tuple[tuple[str, str, bool], ...] = (
    ("coffee", "coffee cup", True),
    ("coffee", "lamp", False),
    ("rocket", "rocket", True),
    ("stereo_motorcycle", "motorbike", True),
    ("stereo_motorcycle", "shoe", False),
    ("camera", "camera", True),
    ("clock", "clock", True),
    ("chelsea", "mug", False),
    ("coins", "coin", True),
    ("astronaut", "space shuttle", True),
    ("mug-3", "mug", True),
    ("bottle-1", "bottle", True),
    ("shoe-1", "shoe", True),
    ("watch-1", "watch", True),
    ("lamp-1", "lamp", True),
    ("bag-1", "bottle", False),
)
"""The photo (of scikit-image, or a render of the tests), the words, and whether it shows what they name."""
TILE_PX, LABEL_PX, COLUMNS = 400, 44, 4


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the sheet, a JPEG")
    parser.add_argument("--pack", default="mini")
    args = parser.parse_args(argv)
    with (
        tempfile.TemporaryDirectory() as home,
        serving_in_process(Settings(home=Path(home), open_access=True, pack=args.pack)) as url,
        Client(url, timeout_s=600) as client,
    ):
        tiles = [_tile(client, *question) for question in QUESTIONS]
    rows = [np.hstack(tiles[at : at + COLUMNS]) for at in range(0, len(tiles), COLUMNS)]
    Image.fromarray(np.vstack(rows)).save(args.out, quality=82)
    print(args.out)


def photo_of(name: str) -> U8:
    """A photo by its name, uint8 HxWx3."""
    file = RENDERS / f"{name}.webp"
    if file.is_file():
        return np.asarray(Image.open(file).convert("RGB"))
    found: Any = getattr(skimage.data, name)()
    found = found[0] if isinstance(found, tuple) else found
    return np.ascontiguousarray(found if found.ndim == 3 else np.stack([found] * 3, axis=-1))


def _tile(client: Client, name: str, words: str, shown: bool) -> U8:
    pixels = photo_of(name)
    answer = client.find(client.upload(encode_png(pixels)).id, words)
    picture = (pixels * 0.45).astype(np.uint8)
    for mask in answer.masks:
        inside = np.asarray(Image.open(io.BytesIO(client.download(mask.url))).convert("L")) >= 128
        picture[inside] = pixels[inside]
    scale = TILE_PX / max(picture.shape[:2])
    size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    tile = np.full((TILE_PX + LABEL_PX, TILE_PX, 3), 255, np.uint8)
    tile[LABEL_PX : LABEL_PX + size[1], : size[0]] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    for line, text in enumerate((f'"{words}": {"shown" if shown else "not shown"}', _said(answer))):
        cv2.putText(tile, text, (6, 17 + 19 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.48, (20, 20, 20), 1, cv2.LINE_AA)
    for box in answer.found.boxes if answer.found else ():
        x0, y0, x1, y1 = (round(value * scale) for value in box.box)
        cv2.rectangle(tile, (x0, y0 + LABEL_PX), (x1, y1 + LABEL_PX), (255, 140, 60), 2)
        cv2.putText(
            tile, f"{box.score:.2f}", (x0 + 4, y0 + LABEL_PX + 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 200, 120), 1
        )
    return tile


def _said(answer: MasksAnswer) -> str:
    notes = [note.code for note in answer.found.notes] if answer.found else []
    return f"{len(answer.masks)} found" + (f" ({', '.join(notes)})" if notes else "")


if __name__ == "__main__":
    main()
