"""Sheets of light to look at: products in scenes that are lit from the left, the right, behind and an evening window.

python -m bench.light_sheet sheet --out DIR    five products x four lights, with shadow, reflection and relight
python -m bench.light_sheet pairs --out DIR    which of two has the shadow of its scene? The answers stand in key.json

The mini pack paints every picture, in this process. `pairs` paints each scene once, without a shadow of ours, and lays
two shadows into it: the one that Packshot reads from the scene, and the opposite one, in a random order.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from graphs.one_process import serving_in_process
from packshot.client import Client
from packshot.contract.shot_spec import Canvas
from packshot.imaging.canvas import flatten
from packshot.imaging.codec import read_png
from packshot.imaging.composite import Ground, composite
from packshot.imaging.light.cast import cast_shadow
from packshot.imaging.light.estimate import scene_light
from packshot.settings import Settings
from packshot.types import U8, Cutout, Layer, Layout

PHOTOS = Path("tests/catalogue/photos")
PRODUCTS = ("bottle-1", "mug-1", "jar-3", "lamp-1", "cup-1")
LIGHTS: dict[str, tuple[str, float | None]] = {
    "from the left": ("on a wooden table, light from the left, soft shadow to the right", 90.0),
    "from the right": ("on a wooden table, light from the right, soft shadow to the left", 270.0),
    "from behind": ("on a marble table, backlit, light from behind", 180.0),
    "evening window": ("on a wooden table, warm evening light from a window on the left", None),
}
"""Name -> the scene's words, and where the shadow falls; None = as the scene says."""
PX, TILE_PX, LABEL_PX = 512, 320, 26
GROUND = {"reflection": {"strength": 0.25, "fade": 0.35}, "relight": {"amount": 0.3}}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("sheet", "pairs"))
    parser.add_argument("--out", type=Path, required=True, help="folder of the sheet")
    parser.add_argument("--seed", type=int, default=7, help="of the scenes, and of the order of the pairs")
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    make = make_sheet if args.command == "sheet" else make_pairs
    with (
        tempfile.TemporaryDirectory() as home,
        serving_in_process(Settings(home=Path(home), open_access=True), pictures=20) as url,
        Client(url, timeout_s=600) as client,
    ):
        make(client, args.out, args.seed)


def make_sheet(client: Client, out: Path, seed: int) -> None:
    """A row a product, a column a light. The figures of each picture's relight go to figures.json."""
    rows = [_headings(["photo", *LIGHTS])]
    figures: list[dict[str, Any]] = []
    for product in PRODUCTS:
        photo, layer = _placed(client, product)
        tiles = [photo]
        for light, (words, direction) in LIGHTS.items():
            shadow: dict[str, Any] = {"mode": "cast", "direction_deg": direction, "length": 0.9}
            picture, verdict = _shot(client, layer, words, seed, shadow=shadow, **GROUND)
            tiles.append(picture)
            figures.append({"product": product, "light": light, **verdict})
        rows.append(np.hstack([_tile(tile) for tile in tiles]))
    Image.fromarray(np.vstack(rows)).save(out / "light-sheet.jpg", quality=88)
    (out / "figures.json").write_text(json.dumps(figures, indent=1))


def make_pairs(client: Client, out: Path, seed: int) -> None:
    """A row a product and light: left and right differ in the shadow alone. The key says how sure the estimate is."""
    order, rows = random.Random(seed), [_headings(["A", "B"])]
    key: list[dict[str, Any]] = []
    for product in PRODUCTS:
        _, layer = _placed(client, product)
        cutout = Cutout(read_png(client.download(f"/v1/masks/{layer['mask_id']}/cutout")))
        flat = flatten(Layout(Canvas(PX, PX), (Layer(cutout, layer["x"], layer["y"], layer["scale"]),)))
        for light in ("from the left", "from the right"):
            scene, _ = _shot(client, layer, LIGHTS[light][0], seed, shadow="none")
            read = scene_light(scene, flat.alpha)
            pair = []
            for turn in (0, 180):
                dark = cast_shadow(flat, read.direction_deg + turn, 0.9)
                pair.append(composite(flat, scene, Ground(np.asarray(np.rint(dark * 0.6), np.uint8))))
            answer = order.choice("AB")
            rows.append(np.hstack([_tile(one) for one in (pair if answer == "A" else pair[::-1])]))
            told = {"direction_deg": round(read.direction_deg), "confidence": round(read.confidence, 2)}
            key.append({"row": len(key) + 1, "product": product, "light": light, "answer": answer, **told})
    Image.fromarray(np.vstack(rows)).save(out / "light-pairs.jpg", quality=88)
    (out / "key.json").write_text(json.dumps(key, indent=1))


def _placed(client: Client, product: str) -> tuple[U8, dict[str, Any]]:
    """The photo of a product, and the layer that stands it on the ground of a square canvas."""
    path = PHOTOS / f"{product}.webp"
    photo = client.upload(path.read_bytes())
    mask = client.masks(photo.id)[0]
    x0, y0, x1, y1 = mask.cutout_bbox or mask.bbox
    high = 0.5 * (y1 - y0) / max(x1 - x0, y1 - y0)
    layer = {"mask_id": mask.id, "scale": 0.5, "x": 0.5, "y": 0.78 - high / 2}
    return np.asarray(Image.open(path).convert("RGB")), layer


def _shot(client: Client, layer: dict[str, Any], words: str, seed: int, **light: Any) -> tuple[U8, dict[str, Any]]:
    """(picture, what its verdict says of the light)."""
    canvas = {"width": PX, "height": PX}
    request = {"layers": [layer], "canvas": canvas, "prompt": words, "seed": seed, "images": 1, **light}
    done = client.wait(client.shoot(request).id)
    if done.status != "done" or not done.images:
        raise SystemExit(f"the shot must end done, it is {done.status}: {done.error}")
    image = done.images[0]
    found = {finding.check: finding for finding in image.verdict.findings}
    lock = found["relit_lock" if "relight" in light else "lock"]
    if lock.level != "ok":
        raise SystemExit(f"the product must be proved: {lock.detail}")
    told = {check: found[check].value for check in ("light", "relight") if check in found}
    return read_png(client.download(image.url)), told | {"why": found["relight"].detail if "relight" in found else ""}


def _tile(pixels: U8) -> U8:
    return np.asarray(cv2.resize(pixels, (TILE_PX, TILE_PX), interpolation=cv2.INTER_AREA), np.uint8)


def _headings(words: Sequence[str]) -> U8:
    strip = np.full((LABEL_PX, TILE_PX * len(words), 3), 255, np.uint8)
    for at, word in enumerate(words):
        place = (at * TILE_PX + 8, LABEL_PX - 8)
        cv2.putText(strip, word, place, cv2.FONT_HERSHEY_SIMPLEX, 0.55, (40, 40, 40), 1, cv2.LINE_AA)
    return strip


if __name__ == "__main__":
    main()
