"""How well a pack follows reference pictures: a sheet of four references and five products, and one JSON line.

python -m training.mini.reference_sheet --out runs/references.png

References and products are held-out drawn scenes. The prompt says nothing of a scene. The first row is painted without
a reference. The distance is that of mean colours (CIELAB) of the upper and the lower half beside the product.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.color import rgb2lab

from packshot.contract.shot_spec import Canvas
from packshot.imaging.composite import composite, enlarge
from packshot.models.references.encoder import PictureEncoder, load_picture_encoder
from packshot.references import ReferencePicture, References
from training.mini.evaluation.measure import open_pack, quiet_threads
from training.mini.evaluation.painting import DrawnShot, Painter, drawn_shots
from training.scenes import render

U8 = NDArray[np.uint8]
REFERENCES, PICKED = 777_001, (0, 3, 5, 8)
"""The seed of the references, and those that are shown."""
PRODUCTS, SIDE_PX, STEPS = 5, 256, 8


def painted(painter: Painter, shots: Sequence[DrawnShot], references: References | None) -> list[U8]:
    """The shots with their products' own pixels, in one batch."""
    scenes = [painter.scene(shot, STEPS, painter.brief.control_scale) for shot in shots]
    rows = [painter.engine.begin(replace(scene, references=references)) for scene in scenes]
    while not rows[0].done:
        painter.engine.step(rows)
    whole = Canvas(SIDE_PX, SIDE_PX)
    renders = zip(shots, painter.engine.decode(rows), strict=True)
    return [composite(shot.flat, enlarge(render.pixels, whole)) for shot, render in renders]


def halves(picture: U8, product: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The mean CIELAB colours of the upper and the lower half beside the product, (2, 3)."""
    lab, half = rgb2lab(picture), len(picture) // 2
    parts = ((lab[:half], product[:half]), (lab[half:], product[half:]))
    return np.stack([colours[~covered].mean(0) for colours, covered in parts])


def _apart(found: NDArray[np.float64], wanted: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(found - wanted, axis=1).mean())


def reference_of(encoder: PictureEncoder, picture: U8, strength: float) -> References:
    """One reference of weight 1."""
    return References((ReferencePicture(1.0, encoder.encode([picture])[0]),), strength)


def main() -> None:
    """Paint, measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, default=Path("packshot/packs/mini"))
    parser.add_argument("--out", type=Path, default=Path("runs/references.png"), help="PNG of the sheet")
    parser.add_argument("--strength", type=float, default=1.0)
    options = parser.parse_args()
    quiet_threads(1)
    pack = open_pack(options.pack)
    painter, encoder = Painter(pack), load_picture_encoder(pack)
    shots = [replace(shot, prompt="product") for shot in drawn_shots(PRODUCTS, SIDE_PX)]
    scenes = render(max(PICKED) + 1, SIDE_PX, REFERENCES, clutter=0.0)
    plain = painted(painter, shots, None)
    rows = [np.concatenate([np.full_like(plain[0], 255), *plain], 1)]
    without: list[float] = []
    followed: list[float] = []
    for number in PICKED:
        shown, covered = scenes.image[number].numpy(), scenes.mask[number].numpy() >= 0.5
        wanted = halves(shown, covered)
        found = painted(painter, shots, reference_of(encoder, shown, options.strength))
        rows.append(np.concatenate([shown, *found], 1))
        for pictures, distances in ((plain, without), (found, followed)):
            both = zip(pictures, shots, strict=True)
            distances += [_apart(halves(one, shot.product), wanted) for one, shot in both]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(options.out), np.concatenate(rows)[..., ::-1])
    line = {"row": "references", "strength": options.strength, "pictures": len(followed)}
    line |= {"without": round(float(np.mean(without)), 1), "followed": round(float(np.mean(followed)), 1)}
    print(json.dumps(line))


if __name__ == "__main__":
    main()
