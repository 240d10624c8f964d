"""What relighting does to products: its error, its change of colour, its seam and its time.

python -m bench.relight_figures    each second product of tests/catalogue, in a plain scene under four lights

It prints a row for each amount, and JSON as its last line. The mini pack cuts the products and finds their geometry.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from bench.plain_shot import plain_shot
from packshot.contract.light import Relight, Shadow
from packshot.contract.shot_spec import Canvas, LayerSpec
from packshot.imaging.canvas import cut, flatten
from packshot.imaging.composite import composite
from packshot.imaging.light.gain import lit_box, read_gain
from packshot.imaging.light.relight import changed
from packshot.imaging.lock import lock_px_of
from packshot.models.packs.pack import find_pack
from packshot.models.segment.segmenter import load_segmenter
from packshot.models.understand.geometry import load_geometry
from packshot.models.understand.understander import Understander
from packshot.settings import Settings
from packshot.shots.relighting import Relit, relit_layout
from packshot.types import U8, Flat, Layer, Layout, Photo, Prompts, Understanding
from packshot.verdict.inspect import relit_lock

PHOTOS = Path("tests/catalogue/photos")
CANVAS, SCALE = Canvas(1024, 1024), 0.6
AMOUNTS = (0.25, 0.4)
LIGHTS = ((0.0, False), (90.0, True), (180.0, False), (270.0, True))
"""Where the shadow falls, and whether the scene is warm."""
PLAIN, WARM = (186, 184, 180), (214, 176, 134)
SPEC = plain_shot(canvas=CANVAS, layers=(LayerSpec(mask_id="a", scale=SCALE),), conditions=())


def main() -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    products = _products()
    answer = []
    for amount in AMOUNTS:
        rows = [
            _figures(flat, known, amount, direction, warm) for flat, known in products for direction, warm in LIGHTS
        ]
        table = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        told = {
            "amount": amount,
            "pictures": len(rows),
            "proved": int(table["proved"].sum()),
            "delta_e_mean": round(float(table["delta_e"].mean()), 2),
            "delta_e_p95_median": round(float(np.median(table["p95"])), 2),
            "warned": round(float(((table["p95"] > 8) | (table["hue_deg"] > 4)).mean()), 3),
            "hue_deg_p95": round(float(np.percentile(table["hue_deg"], 95)), 2),
            "clipped_mean": round(float(table["clipped"].mean()), 4),
            "inverse_error_max": round(float(table["inverse"].max()), 3),
            "seam_delta_e_max": round(float(table["seam"].max()), 2),
            "ms_median": round(float(np.median(table["ms"])), 1),
            "ms_p95": round(float(np.percentile(table["ms"], 95)), 1),
        }
        print(" · ".join(f"{name} {value}" for name, value in told.items()))
        answer.append(told)
    print(json.dumps(answer))


def _products() -> list[tuple[Flat, Understanding]]:
    """Each product that the pack finds, on the canvas, and what is known of it."""
    pack, device = find_pack("mini", Settings()), torch.device("cpu")
    encoder, decoder = load_segmenter(pack, device, torch.float32)
    understander = Understander(load_geometry(pack, device))
    found = []
    for path in sorted(PHOTOS.glob("*-*.webp"))[::2]:
        photo = Photo(np.array(Image.open(path).convert("RGB")))
        [embedding] = encoder.encode([photo])
        [candidates] = decoder.decode([(embedding, Prompts())])
        cutout = cut(photo, candidates[0].mask, lock_px_of(photo.width, photo.height))
        [known] = understander.understand([cutout])
        if not known.material.see_through:
            found.append((flatten(Layout(CANVAS, (Layer(cutout, scale=SCALE),))), known))
    return found


def _figures(flat: Flat, known: Understanding, amount: float, direction: float, warm: bool) -> dict[str, float]:
    scene = np.full((CANVAS.height, CANVAS.width, 3), WARM if warm else PLAIN, np.uint8)
    spec = replace(SPEC, relight=Relight(amount), shadow=Shadow("none", direction_deg=direction))
    started_at = time.process_time()
    made = relit_layout(flat, spec, scene, [known])
    spent = time.process_time() - started_at
    picture = composite(made.flat, scene)
    change = changed(flat, made.flat)
    assert made.gain_png is not None
    return {
        "proved": float(relit_lock(flat, picture, made.gain_png).level == "ok"),
        "delta_e": change.mean,
        "p95": change.p95,
        "hue_deg": change.hue_deg,
        "clipped": change.clipped,
        "inverse": _inverse_error(flat, made),
        "seam": _seam(flat, picture),
        "ms": spent * 1000,
    }


def _inverse_error(flat: Flat, made: Relit) -> float:
    """How far the photo's colour is from picture / gain at most, where the picture is not clipped to white."""
    box = lit_box(flat)
    assert box is not None
    assert made.gain_png is not None
    x0, y0, x1, y1 = box
    factors = cv2.resize(read_gain(made.gain_png).factors, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
    here = np.s_[y0:y1, x0:x1]
    known = (flat.alpha[here] == 255)[..., None] & (made.flat.rgb[here] < 255)
    apart = np.abs(made.flat.rgb[here] / factors - flat.rgb[here])
    return float(apart[known].max(initial=0.0))


def _seam(flat: Flat, picture: U8) -> float:
    """ΔE between the scene 1 to 3 px and 10 to 20 px outside the product."""
    away = cv2.distanceTransform(np.where(flat.alpha > 0, np.uint8(0), np.uint8(1)), cv2.DIST_L2, 5)
    lab = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    near, far = (lab[(away >= low) & (away <= high)].mean(axis=0) for low, high in ((1, 3), (10, 20)))
    return float(np.linalg.norm(near - far))


if __name__ == "__main__":
    main()
