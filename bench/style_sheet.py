"""Products in the style of reference pictures: a sheet to look at, and the figures of the palette.

python -m bench.style_sheet --out DIR                  ten products x two scenes, four references; prints a row each
python -m bench.style_sheet --out DIR --strength 1     again, with the scenes that DIR already has

The mini pack cuts the products and paints each scene once, without a style; the style is laid over it as finishing
does. It takes no references itself (part `scene`), so palette and light count alone. DIR gets the sheet and figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from bench.plain_shot import plain_shot
from packshot.batching import RenderBatcher
from packshot.contract.light import Shadow
from packshot.contract.recipe import EngineStamp
from packshot.contract.shot_spec import Canvas, LayerSpec
from packshot.contract.shot_style import DEFAULT_STRENGTH
from packshot.contract.style import Style
from packshot.imaging.canvas import cut, flatten, layer_enlargement
from packshot.imaging.codec import read_png
from packshot.imaging.edges import canny
from packshot.imaging.light.harmonise import palette_distance
from packshot.imaging.light.palette import sample_of
from packshot.imaging.lock import lock_px_of
from packshot.imaging.resample import reduced
from packshot.models.engines.loading import load_engine
from packshot.models.packs.pack import find_pack
from packshot.models.segment.segmenter import load_segmenter
from packshot.settings import Settings
from packshot.shots import Painted, Prepared
from packshot.shots.finish import finish, fit
from packshot.shots.flow import brief_of
from packshot.shots.pictures import READ_PX, FoundStyle, PictureFile, read_style
from packshot.types import U8, Flat, Layer, Layout, Photo, Prompts, Render, Scene

PHOTOS = Path("tests/catalogue/photos")
REFERENCES = ("bottle-1", "tube-1", "jar-3", "can-2")
PRODUCTS = ("bottle-3", "mug-1", "jar-2", "lamp-1", "cup-1", "box-1", "can-1", "bowl-2", "perfume-2", "vase-2")
SCENES = ("on a wooden table, blurred room behind", "on a marble table, soft studio light")
SHOWN = 5
CANVAS, SCALE, TILE_PX, SWATCH_PX = Canvas(768, 768), 0.5, 384, 26
STAMP = EngineStamp(pack={}, dtype="float32", device="cpu")
SPEC = plain_shot(
    canvas=CANVAS,
    layers=(LayerSpec(mask_id="a", scale=SCALE),),
    seed=7,
    steps=16,
    guidance_scale=2.5,
    shadow=Shadow("cast"),
)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the sheet, and of scenes to use again")
    parser.add_argument("--strength", type=float, default=DEFAULT_STRENGTH)
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    prepared = [_prepared(flat, by) for flat, by in _products()]
    rows, sheet = [], [_plain_row(prepared, args.out)]
    for reference in REFERENCES:
        pixels, found = _found(reference)
        style = _style(found, args.strength)
        for number in range(len(SCENES)):
            scenes = _scenes(prepared, number, args.out)
            made = [_finished(one, scene, style) for one, scene in zip(prepared, scenes, strict=True)]
            rows.append(_figures(reference, number, prepared, scenes, made, style))
            print(json.dumps(rows[-1]), flush=True)
            if number == 0:
                palette = [one.name for one in found.palette]
                tiles = [_with_swatches(pixels, palette), *(_tile(picture) for picture, *_ in made[:SHOWN])]
                sheet.append(np.hstack(tiles))
            for product, (picture, *_) in zip(PRODUCTS, made, strict=True):
                Image.fromarray(picture).save(args.out / f"{reference}-{number}-{product}.png")
    told = {
        "strength": args.strength,
        "fall_median": round(float(np.median([row["fall"] for row in rows])), 3),
        "fall_least": min(row["fall"] for row in rows),
        "delta_e_most": max(row["delta_e"] for row in rows),
        "pictures": len(rows) * len(PRODUCTS),
        "locked": sum(row["locked"] for row in rows),
        "style_ms_median": round(float(np.median([row["style_ms"] for row in rows])), 1),
    }
    print(json.dumps(told))
    (args.out / "figures.json").write_text(json.dumps({**told, "rows": rows}, indent=1))
    Image.fromarray(np.vstack(sheet)).save(args.out / "style-sheet.jpg", quality=88)


def _products() -> list[tuple[Flat, float]]:
    """Each product on the canvas, standing on one line, and by how much it was enlarged."""
    pack, device = find_pack("mini", Settings()), torch.device("cpu")
    encoder, decoder = load_segmenter(pack, device, torch.float32)
    found = []
    for product in PRODUCTS:
        photo = Photo(np.array(Image.open(PHOTOS / f"{product}.webp").convert("RGB")))
        [embedding] = encoder.encode([photo])
        [candidates] = decoder.decode([(embedding, Prompts())])
        cutout = cut(photo, candidates[0].mask, lock_px_of(photo.width, photo.height))
        height, width = cutout.pixels.shape[:2]
        layer = Layer(cutout, 0.5, 0.8 - SCALE / 2 * height / max(height, width), SCALE)
        found.append((flatten(Layout(CANVAS, (layer,))), layer_enlargement(layer, CANVAS)))
    return found


def _prepared(flat: Flat, enlarged_by: float) -> Prepared:
    return Prepared(flat, enlarged_by, find_pack("mini", Settings()).manifest.framing(CANVAS))


def _scenes(prepared: Sequence[Prepared], number: int, out: Path) -> list[U8]:
    """The renders of all products in a scene: those of an earlier run, or painted now."""
    kept = out / f"scenes-{number}.npz"
    if not kept.exists():
        renders = asyncio.run(_painted(prepared, SCENES[number]))
        np.savez_compressed(kept, *renders)
    with np.load(kept) as stored:
        return [stored[f"arr_{at}"] for at in range(len(prepared))]


async def _painted(prepared: Sequence[Prepared], words: str) -> list[U8]:
    engine = load_engine(find_pack("mini", Settings()), torch.device("cpu"), torch.float32, freeze=True)
    batcher = RenderBatcher(engine, max_rows=16)
    scenes = []
    for one in prepared:
        assert one.framing is not None
        fitted = fit(one, one.framing)
        brief = brief_of(replace(SPEC, prompt=words), SPEC.seed)
        scenes.append(Scene(fitted.product, fitted.repaint, canny(fitted.flat), brief))
    return [(await made)[0].pixels for made in [asyncio.ensure_future(batcher.render(scene)) for scene in scenes]]


def _found(reference: str) -> tuple[U8, FoundStyle]:
    pixels = np.asarray(Image.open(PHOTOS / f"{reference}.webp").convert("RGB"), np.uint8)
    return pixels, read_style(lambda _: reduced(pixels, READ_PX), [PictureFile(reference, 1.0)])


def _style(found: FoundStyle, strength: float) -> Style:
    palette = tuple(one.name for one in found.palette)
    shares = tuple(one.share for one in found.palette)
    return Style(
        palette=palette, shares=shares, light_deg=found.light_deg, strength=strength, parts=("palette", "light")
    )


def _finished(prepared: Prepared, render: U8, style: Style | None) -> tuple[U8, bool, float]:
    """(picture, whether the lock holds, milliseconds of finishing)."""
    shadow = replace(SPEC.shadow, direction_deg=style.shadow_deg) if style else SPEC.shadow
    spec = replace(SPEC, style=style, shadow=shadow)
    started_at = time.process_time()
    done = finish(prepared, Painted(Render(render, SPEC.seed), STAMP, {}), spec)
    spent = (time.process_time() - started_at) * 1000
    lock = next(one for one in done.verdict.findings if one.check == "lock")
    return read_png(done.png), lock.level == "ok", spent


def _figures(
    reference: str,
    number: int,
    prepared: Sequence[Prepared],
    scenes: Sequence[U8],
    made: Sequence[tuple[U8, bool, float]],
    style: Style,
) -> dict[str, Any]:
    """The distance to the palette before and after, the spread of the backgrounds, and the lock."""
    plain = [_finished(one, scene, None) for one, scene in zip(prepared, scenes, strict=True)]
    before, after = (_distance(pictures, prepared, style) for pictures in (plain, made))
    return {
        "reference": reference,
        "scene": SCENES[number],
        "before": round(before, 2),
        "after": round(after, 2),
        "fall": round(1 - after / before, 3),
        "delta_e": _spread([one for one, *_ in made]),
        "plain_delta_e": _spread([one for one, *_ in plain]),
        "locked": sum(locked for _, locked, _ in made),
        "style_ms": float(np.median([one[2] for one in made]) - np.median([one[2] for one in plain])),
    }


def _distance(pictures: Sequence[tuple[U8, bool, float]], prepared: Sequence[Prepared], style: Style) -> float:
    """The mean distance of the finished pictures' backgrounds to the palette, their shadows included."""
    each = [
        palette_distance(picture, style.palette, one.flat.alpha, shares=style.shares)
        for (picture, *_), one in zip(pictures, prepared, strict=True)
    ]
    return float(np.mean(each))


def _spread(pictures: Sequence[U8]) -> float:
    """The mean ΔE (CIE 1976) of the backgrounds' mean colours from their common one. Borders are read: no product."""
    inside = np.zeros((CANVAS.height, CANVAS.width), np.uint8)
    edge = CANVAS.width // 8
    inside[edge:-edge, edge:-edge] = 255
    means = np.array([sample_of(one, inside).mean(axis=0) for one in pictures])
    return round(float(np.linalg.norm(means - means.mean(axis=0), axis=1).mean()), 2)


def _plain_row(prepared: Sequence[Prepared], out: Path) -> U8:
    blank: U8 = np.full((TILE_PX, TILE_PX, 3), 255, np.uint8)
    scenes = _scenes(prepared, 0, out)
    made = [_finished(one, scene, None)[0] for one, scene in zip(prepared[:SHOWN], scenes, strict=False)]
    return np.hstack([blank, *(_tile(one) for one in made)])


def _with_swatches(pixels: U8, palette: Sequence[str]) -> U8:
    side = min(pixels.shape[:2])
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    tile = _tile(pixels[top : top + side, left : left + side])
    for at, colour in enumerate(palette):
        width = TILE_PX // len(palette)
        tile[-SWATCH_PX:, at * width : (at + 1) * width] = list(bytes.fromhex(colour[1:]))
    return tile


def _tile(pixels: U8) -> U8:
    return np.asarray(cv2.resize(pixels, (TILE_PX, TILE_PX), interpolation=cv2.INTER_AREA), np.uint8)


if __name__ == "__main__":
    main()
