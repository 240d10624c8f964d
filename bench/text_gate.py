"""The proof of text on drawn labels: changed digits that it finds, and unchanged labels that it does not doubt.

    python -m bench.text_gate --changed 200 --unchanged 200 --out out/text      # writes the misses as sheets

Each label is placed in a scene by the layout's own code, at a random size and turned by up to 10 degrees; the picture
is shrunk and saved as a JPEG of quality 80, as a channel's file is. The digits are at least 14 px high in that file.
The exit code is 1 when a figure is missed.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from bench.labels import Label, draw, random_label, with_changed_digit
from packshot.contract.shot_spec import Canvas
from packshot.imaging.canvas import flatten, layer_transform
from packshot.imaging.composite import composite
from packshot.models.read import RapidReader
from packshot.types import U8, Cutout, Layer, Layout
from packshot.verdict.text import LineProof, Placed, compare_lines, on_ground, read_product

SIDE_PX = 1024
DIGIT_PX = 14.0
PRINT_SCALE = 0.88
"""By what `draw` shrinks the print when it turns it."""
QUALITY = 80
MAX_FALSE = 0.01
MAX_CPU_S = 0.8


@dataclass(frozen=True)
class Case:
    """A picture of a label: the photo's product, how the picture's lies in it, and whether a digit was changed."""

    label: Label
    product: U8
    picture: U8
    placed: Placed
    changed: str


def make_case(seed: int, *, changed: bool) -> Case:
    """The case of this seed, always the same on one machine."""
    dice = random.Random(seed)
    scale, shrink = dice.uniform(0.55, 0.9), dice.uniform(0.7, 1.0)
    turn_deg = dice.uniform(-10, 10)
    per_px = scale * SIDE_PX / 1100 * shrink * PRINT_SCALE  # the file's pixels for each of the print's
    label = random_label(seed, (DIGIT_PX + 0.5) / per_px)
    shown, line = with_changed_digit(label, 0) if changed else (label, None)
    canvas = Canvas(SIDE_PX, SIDE_PX)
    layer = Layer(Cutout(draw(shown)), 0.5, 0.5, scale, turn_deg, False)
    flat = flatten(Layout(canvas, (layer,)))
    picture = composite(flat, _scene(seed))
    side = round(SIDE_PX * shrink)
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    _, file = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    read = np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]
    matrix = layer_transform(layer, canvas) * np.float32(side / SIDE_PX)
    alpha = cv2.resize(flat.alpha, (side, side), interpolation=cv2.INTER_AREA)
    told = "" if line is None else f"{line.text} -> {next(o.text for o in shown.lines if o not in label.lines)}"
    placed = Placed(matrix, np.where(alpha >= 128, 255, 0).astype(np.uint8))
    return Case(label, draw(label), np.ascontiguousarray(read), placed, told)


def _scene(seed: int) -> U8:
    """A soft scene with grain, uint8 HxWx3."""
    rng = np.random.default_rng(seed)
    soft = cv2.resize(
        rng.uniform(60, 230, (5, 5, 3)).astype(np.float32), (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC
    )
    return np.asarray(np.clip(soft + rng.normal(0, 3, soft.shape), 0, 255), np.uint8)


def is_found(proofs: Sequence[LineProof]) -> bool:
    """Whether a changed digit was found, or an unchanged label was doubted."""
    return any(proof.fate in ("changed", "added") for proof in proofs)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changed", type=int, default=200)
    parser.add_argument("--unchanged", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="the first label's seed")
    parser.add_argument("--sheet", action="store_true", help="also draw twelve of the pictures")
    parser.add_argument("--out", type=Path, default=Path("out/text"))
    args = parser.parse_args(argv)
    reader = RapidReader()
    read_product(reader, np.full((64, 256, 3), 128, np.uint8))  # loads the reader
    args.out.mkdir(parents=True, exist_ok=True)
    cpu_s: list[float] = []
    photo_s: list[float] = []
    wrong = {True: 0, False: 0}
    unproven = 0
    for seed in range(args.seed, args.seed + max(args.changed, args.unchanged)):
        asked = [what for what, count in ((True, args.changed), (False, args.unchanged)) if seed < args.seed + count]
        cases = [make_case(seed, changed=changed) for changed in asked]
        started = time.process_time()
        product = on_ground(cases[0].product)
        lines = read_product(reader, product)
        photo_s.append(time.process_time() - started)
        told = []
        for changed, case in zip(asked, cases, strict=True):
            started = time.process_time()
            proofs = compare_lines(reader, product, lines, case.picture, case.placed)
            cpu_s.append(time.process_time() - started)
            unproven += not changed and any(proof.fate == "unreadable" for proof in proofs)
            told.append(f"{'changed' if changed else 'unchanged'} {'found' if is_found(proofs) else 'same'}")
            if is_found(proofs) != changed:
                wrong[changed] += 1
                name = f"{'missed' if changed else 'doubted'}-{seed:04}"
                print(name, case.label.font.rsplit("/", 1)[-1], case.changed)
                for proof in proofs:
                    print("   ", proof.fate, repr(proof.expected), repr(proof.found), f"{proof.height_px:.0f} px")
                _sheet(case, proofs).save(args.out / f"{name}.png")
        print(f"{seed:04}: {', '.join(told)}; photo {photo_s[-1]:.2f} s, picture {cpu_s[-1]:.2f} s", flush=True)
    found = {
        "row": "text_gate",
        "changed": args.changed,
        "found": args.changed - wrong[True],
        "unchanged": args.unchanged,
        "doubted": wrong[False],
        "with_an_unreadable_line": unproven,
        "photo_cpu_s": round(float(np.median(photo_s)), 3),
        "picture_cpu_s": round(float(np.median(cpu_s)), 3),
        "picture_cpu_s_p95": round(float(np.quantile(cpu_s, 0.95)), 3),
    }
    holds = wrong[True] == 0 and wrong[False] <= MAX_FALSE * args.unchanged and found["picture_cpu_s"] <= MAX_CPU_S
    if args.sheet:
        _overview(args.seed).save(args.out / "labels.png")
    print(json.dumps(found | {"holds": holds}))
    return 0 if holds else 1


def _overview(seed: int) -> Image.Image:
    tiles = [Image.fromarray(make_case(seed + at, changed=at % 2 == 1).picture).resize((480, 480)) for at in range(12)]
    sheet = Image.new("RGB", (4 * 480, 3 * 480))
    for at, tile in enumerate(tiles):
        sheet.paste(tile, (at % 4 * 480, at // 4 * 480))
    return sheet


def _sheet(case: Case, proofs: Sequence[LineProof]) -> Image.Image:
    """The photo's product beside the picture, with each line's fate drawn in."""
    photo, picture = Image.fromarray(on_ground(case.product)), Image.fromarray(case.picture)
    pen = ImageDraw.Draw(picture)
    for proof in proofs:
        colour = "#18a040" if proof.fate == "same" else "#e02020"
        pen.polygon([(float(x), float(y)) for x, y in proof.quad], outline=colour, width=2)
        pen.text((float(proof.quad[0][0]), float(proof.quad[3][1]) + 2), f"{proof.fate}: {proof.found}", fill=colour)
    sheet = Image.new("RGB", (photo.width + picture.width, max(photo.height, picture.height)), "white")
    sheet.paste(photo, (0, 0))
    sheet.paste(picture, (photo.width, 0))
    return sheet


if __name__ == "__main__":
    raise SystemExit(main())
