"""Products in the style of reference pictures: a sheet to look at, and the figures of the palette.

python -m bench.style_sheet sheet --out DIR      four references x five products, without and with the style
python -m bench.style_sheet figures --out DIR    four references x ten products: distance to the palette, ΔE, lock

The mini pack paints every picture, in this process. It takes no references itself (part `scene`), so palette and light
count alone.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from graphs.one_process import serving_in_process
from packshot.client import Client, ReferenceIn
from packshot.contract.answers import ImageAnswer
from packshot.imaging.codec import read_png
from packshot.imaging.light.palette import sample_of
from packshot.settings import Settings
from packshot.types import U8

PHOTOS = Path("tests/catalogue/photos")
REFERENCES = ("bottle-1", "tube-1", "jar-3", "can-2")
PRODUCTS = ("bottle-3", "mug-1", "jar-2", "lamp-1", "cup-1", "box-1", "can-1", "bowl-2", "perfume-2", "vase-2")
SCENES = ("on a wooden table, blurred room behind", "on a marble table, soft studio light")
SEED, PX, TILE_PX, LABEL_PX = 7, 512, 384, 26
SHOWN = 5


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("sheet", "figures"))
    parser.add_argument("--out", type=Path, required=True, help="folder of the sheet")
    parser.add_argument("--strength", type=float, default=0.8)
    parser.add_argument("--steps", type=int, default=16)
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    make = make_sheet if args.command == "sheet" else make_figures
    with (
        tempfile.TemporaryDirectory() as home,
        serving_in_process(Settings(home=Path(home), open_access=True), pictures=20) as url,
        Client(url, timeout_s=600) as client,
    ):
        make(client, args.out, args.strength, args.steps)


def make_sheet(client: Client, out: Path, strength: float, steps: int) -> None:
    """A column a product. The first row has no style; each further one has the style of the picture at its left."""
    layers = [_placed(client, product) for product in PRODUCTS[:SHOWN]]
    blank: U8 = np.full((PX, PX, 3), 255, np.uint8)
    plain = [_shot(client, layer, SCENES[0], steps)[0] for layer in layers]
    rows = [np.hstack([_tile(one) for one in (blank, *plain)])]
    for reference in REFERENCES:
        pixels = np.asarray(Image.open(PHOTOS / f"{reference}.webp").convert("RGB"), np.uint8)
        photo_id = client.upload((PHOTOS / f"{reference}.webp").read_bytes()).id
        style = {"references": [{"photo_id": photo_id}], "strength": strength}
        made = [_shot(client, layer, SCENES[0], steps, style=style)[0] for layer in layers]
        palette = [one.colour for one in client.find_palette([ReferenceIn(photo_id=photo_id)]).palette]
        rows.append(np.hstack([_with_swatches(_square(pixels), palette), *(_tile(one) for one in made)]))
        for product, one in zip(PRODUCTS, made, strict=False):
            Image.fromarray(one).save(out / f"{reference}-{product}.png")
    Image.fromarray(np.vstack(rows)).save(out / "style-sheet.jpg", quality=88)


def make_figures(client: Client, out: Path, strength: float, steps: int) -> None:
    """A row a reference and scene, printed and in figures.json."""
    layers = [_placed(client, product) for product in PRODUCTS]
    rows = []
    for reference in REFERENCES:
        photo_id = client.upload((PHOTOS / f"{reference}.webp").read_bytes()).id
        style = {"references": [{"photo_id": photo_id}], "strength": strength}
        for scene in SCENES:
            shots = [_shot(client, layer, scene, steps, style=style)[1] for layer in layers]
            plain = [_shot(client, layer, scene, steps)[1] for layer in layers]
            rows.append({"reference": reference, "scene": scene, **_figures(shots), "plain_delta_e": _spread(plain)})
            print(json.dumps(rows[-1]), flush=True)
    falls = [row["fall"] for row in rows]
    told = {
        "strength": strength,
        "fall_median": round(float(np.median(falls)), 3),
        "fall_least": min(falls),
        "delta_e_most": max(row["delta_e"] for row in rows),
        "locked": all(row["locked"] for row in rows),
    }
    (out / "figures.json").write_text(json.dumps({**told, "rows": rows}, indent=1))
    print(json.dumps(told))


def _figures(images: Sequence[tuple[U8, ImageAnswer]]) -> dict[str, Any]:
    """The mean distances to the palette before and after, the spread of the backgrounds, and whether all are locked."""
    before, after, locked = [], [], True
    for _, image in images:
        found = {finding.check: finding for finding in image.verdict.findings}
        after.append(float(found["style"].value or 0.0))
        before.append(float(found["style"].detail.partition("palette, ")[2].partition(" before")[0]))
        locked &= found["lock"].level == "ok"
    mean_before, mean_after = float(np.mean(before)), float(np.mean(after))
    return {
        "before": round(mean_before, 2),
        "after": round(mean_after, 2),
        "fall": round(1 - mean_after / mean_before, 3),
        "delta_e": _spread(images),
        "locked": locked,
    }


def _spread(images: Sequence[tuple[U8, ImageAnswer]]) -> float:
    """The mean ΔE (CIE 1976) of the backgrounds' mean colours from their common mean. The border of a picture is read,
    where no product stands."""
    means = []
    for pixels, _ in images:
        inside = np.zeros(pixels.shape[:2], np.uint8)
        edge = PX // 8
        inside[edge:-edge, edge:-edge] = 255
        means.append(sample_of(pixels, inside).mean(axis=0))
    table = np.array(means)
    return round(float(np.linalg.norm(table - table.mean(axis=0), axis=1).mean()), 2)


def _placed(client: Client, product: str) -> dict[str, Any]:
    """The layer that stands a product on the ground of a square canvas."""
    photo = client.upload((PHOTOS / f"{product}.webp").read_bytes())
    mask = client.masks(photo.id)[0]
    x0, y0, x1, y1 = mask.cutout_bbox or mask.bbox
    high = 0.5 * (y1 - y0) / max(x1 - x0, y1 - y0)
    return {"mask_id": mask.id, "scale": 0.5, "x": 0.5, "y": 0.8 - high / 2}


def _shot(
    client: Client, layer: dict[str, Any], words: str, steps: int, **look: Any
) -> tuple[U8, tuple[U8, ImageAnswer]]:
    canvas = {"width": PX, "height": PX}
    request = {"layers": [layer], "canvas": canvas, "prompt": words, "seed": SEED, "images": 1, "steps": steps, **look}
    done = client.wait(client.shoot({**request, "shadow": "cast"}).id)
    if done.status != "done" or not done.images:
        raise SystemExit(f"the shot must end done, it is {done.status}: {done.error}")
    pixels = read_png(client.download(done.images[0].url))
    return pixels, (pixels, done.images[0])


def _square(pixels: U8) -> U8:
    side = min(pixels.shape[:2])
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    return pixels[top : top + side, left : left + side]


def _with_swatches(pixels: U8, palette: Sequence[str]) -> U8:
    tile = _tile(pixels)
    width = TILE_PX // max(1, len(palette))
    for at, colour in enumerate(palette):
        tile[-LABEL_PX:, at * width : (at + 1) * width] = list(bytes.fromhex(colour[1:]))
    return tile


def _tile(pixels: U8) -> U8:
    return np.asarray(cv2.resize(pixels, (TILE_PX, TILE_PX), interpolation=cv2.INTER_AREA), np.uint8)


if __name__ == "__main__":
    main()
