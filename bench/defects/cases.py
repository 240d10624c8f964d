"""Pictures with planted defects, each drawn from its seed: a product, a scene around it, and what is wrong with it.

The renderer draws each scene three times: with its product, with its shadow alone, and empty. A defect is planted by
laying the product of the first over one of the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from bench.plain_shot import plain_shot
from packshot.contract.light import Shadow
from packshot.contract.recipe import EngineStamp
from packshot.contract.shot_spec import Canvas, LayerSpec, ShotSpec
from packshot.shots import Finished, Painted, Prepared
from packshot.shots.finish import finish
from packshot.types import U8, BoxXYXY, Flat, Render
from training.scenes import render
from training.scenes.render import Shown

SIDE_PX = 192
STAMP = EngineStamp(pack={}, dtype="float32", device="cpu")
ONE_COLOUR_LEVELS = 8.0
"""Standard deviation of a product's colours along its outline up to which it is of one colour, CIE L*a*b*."""
SPEC = plain_shot(canvas=Canvas(SIDE_PX, SIDE_PX))
"""The drawn scenes have shadows of their own."""


@dataclass(frozen=True)
class Case:
    """A picture to inspect: `scene` is uint8 SxSx3 RGB as an engine paints it, and `flat` is the product over it."""

    name: str
    flat: Flat
    scene: U8
    spec: ShotSpec

    @property
    def finished(self) -> Finished:
        """The picture as the finisher makes it, and its verdict."""
        return finish(Prepared(self.flat, 1.0), Painted(Render(self.scene, self.spec.seed), STAMP, {}), self.spec)


def plant(kind: str, seed: int) -> Case | None:
    """The case of a kind and a seed; None when this scene cannot have this defect."""
    drawn = _Drawn.of(seed)
    planted = PLANTED[kind](drawn, np.random.default_rng(seed))
    if planted is None:
        return None
    flat, scene, spec, boxes = planted
    return Case(f"{kind}-{seed}", Flat(flat.pixels, boxes), scene, replace(spec, seed=seed))


Planted = tuple[Flat, U8, ShotSpec, tuple[BoxXYXY, ...]]


@dataclass(frozen=True)
class _Drawn:
    """A scene with its product. `seam_y` is the row at which its floor ends behind the product; None on a sweep."""

    seed: int
    flat: Flat
    whole: U8
    seam_y: int | None

    @classmethod
    def of(cls, seed: int) -> _Drawn:
        batch = render(1, SIDE_PX, seed, clutter=0.0)
        alpha = np.rint(batch.mask[0].numpy() * 255).astype(np.uint8)
        cover = np.maximum(batch.mask[0].numpy()[..., None], 1e-3)
        rgb = np.clip(np.rint(batch.product[0].numpy() / cover * 255), 0, 255).astype(np.uint8)
        floor = np.isfinite(batch.depth[0].numpy()) & (alpha == 0)
        rows = np.flatnonzero(floor.any(axis=1))
        return cls(seed, Flat(np.dstack([rgb, alpha])), batch.image[0].numpy(), int(rows[0]) if rows.size else None)

    def without(self, shown: Shown) -> U8:
        pixels: U8 = render(1, SIDE_PX, self.seed, clutter=0.0, shown=shown).image[0].numpy()
        return pixels


def _clean(drawn: _Drawn, rng: np.random.Generator) -> Planted:
    return drawn.flat, drawn.whole, SPEC, ()


def _wall(drawn: _Drawn, rng: np.random.Generator) -> Planted | None:
    """The product is so far up that its base is before the wall."""
    _, y0, _, y1 = _box(drawn.flat)
    height = y1 - y0
    if drawn.seam_y is None or drawn.seam_y > SIDE_PX * 0.75:
        return None
    up = y1 - drawn.seam_y + round(rng.uniform(0.12, 0.4) * height)
    if y0 - up < 2:
        return None
    shadow = str(rng.choice(["none", "contact"]))
    spec = replace(SPEC, shadow=Shadow("contact" if shadow == "contact" else "none"))
    return _moved(drawn.flat, 0, -up), drawn.without("nothing"), spec, ()


def _gap(drawn: _Drawn, rng: np.random.Generator) -> Planted | None:
    """The product is some way above the shadow that it throws."""
    _, y0, _, y1 = _box(drawn.flat)
    up = round(rng.uniform(0.10, 0.3) * (y1 - y0))
    if y0 - up < 2:
        return None
    return _moved(drawn.flat, 0, -up), drawn.without("shadow"), SPEC, ()


def _alike(drawn: _Drawn, rng: np.random.Generator) -> Planted | None:
    """The scene has the product's own colour, which is one colour, with a little of its light and texture left."""
    within = cv2.distanceTransform((drawn.flat.alpha >= 250).astype(np.uint8), cv2.DIST_L2, 5)
    colours = cv2.cvtColor(drawn.flat.rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    rim = colours[(within > 1) & (within <= 6)]
    if not len(rim) or float(rim.std(axis=0).max()) > ONE_COLOUR_LEVELS:
        return None
    scene = cv2.cvtColor(drawn.whole.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    behind = drawn.flat.alpha == 0
    scene = rim.mean(axis=0) + rng.uniform(0.1, 0.25) * (scene - scene[behind].mean(axis=0))
    recoloured = cv2.cvtColor(scene.astype(np.float32), cv2.COLOR_LAB2RGB)
    return drawn.flat, np.clip(np.rint(recoloured * 255), 0, 255).astype(np.uint8), SPEC, ()


def _larger(drawn: _Drawn, rng: np.random.Generator) -> Planted | None:
    """The product that is painted is larger than the one that is laid over it, and stands on the same line."""
    by = rng.uniform(1.12, 1.4)
    x0, y0, x1, y1 = _box(drawn.flat)
    if y1 - (y1 - y0) * by < 2:
        return None
    turn = np.array([[by, 0, (1 - by) * (x0 + x1) / 2], [0, by, (1 - by) * y1]], np.float32)
    return drawn.flat, _laid(_warped(drawn.flat, turn), drawn.without("shadow")), SPEC, ()


def _longer(drawn: _Drawn, rng: np.random.Generator) -> Planted | None:
    """The product that is painted goes on upwards or to a side."""
    x0, y0, x1, y1 = _box(drawn.flat)
    by = rng.uniform(0.12, 0.35)
    side = str(rng.choice(["up", "left", "right"]))
    moved = {
        "up": (0, -round(by * (y1 - y0))),
        "left": (-round(by * (x1 - x0)), 0),
        "right": (round(by * (x1 - x0)), 0),
    }[side]
    if y0 + moved[1] < 2 or x0 + moved[0] < 2 or x1 + moved[0] > SIDE_PX - 2:
        return None
    return drawn.flat, _laid(_moved(drawn.flat, *moved), drawn.whole), SPEC, ()


def _second(drawn: _Drawn, rng: np.random.Generator) -> Planted | None:
    """A copy of the product stands beside it, of another size."""
    x0, y0, x1, y1 = _box(drawn.flat)
    by = rng.uniform(0.45, 0.95)
    width, height = by * (x1 - x0), by * (y1 - y0)
    room = [(2.0, x0 - width - 4), (x1 + 4.0, SIDE_PX - 2 - width)]
    room = [one for one in room if one[1] > one[0]]
    if not room:
        return None
    left = rng.uniform(*room[int(rng.integers(len(room)))])
    foot = y1 - rng.uniform(0.0, 0.25) * (y1 - y0)
    mirrored = bool(rng.integers(2))
    shape = np.array([[by, 0, left - by * x0], [0, by, foot - by * y1]], np.float32)
    if mirrored:
        shape[0] = (-by, 0, left + by * x1)
    copy = _warped(drawn.flat, shape)
    scene = drawn.whole.astype(np.float32)
    dark = np.zeros((SIDE_PX, SIDE_PX), np.float32)
    cv2.ellipse(
        dark, (round(left + width / 2), round(foot)), (round(width * 0.6), round(height * 0.08)), 0, 0, 360, 0.5, -1
    )
    scene *= 1 - cv2.GaussianBlur(dark, (0, 0), 3.0)[..., None]
    return drawn.flat, _laid(copy, scene.astype(np.uint8)), SPEC, ()


def _scale(drawn: _Drawn, rng: np.random.Generator) -> Planted | None:
    """Two products on one ground, the second of a size that its true height contradicts."""
    return _pair(drawn, rng, float(rng.choice([rng.uniform(1.6, 3.0), rng.uniform(0.3, 0.6)])))


def _pair(drawn: _Drawn, rng: np.random.Generator, wrong_by: float) -> Planted | None:
    x0, _, x1, y1 = _box(drawn.flat)
    by = rng.uniform(0.4, 0.8)
    width = by * (x1 - x0)
    left = x1 + 6.0 if x1 + 6 + width < SIDE_PX - 2 else x0 - 6 - width
    if left < 2:
        return None
    shape = np.array([[by, 0, left - by * x0], [0, by, y1 - by * y1]], np.float32)
    copy = _warped(drawn.flat, shape)
    flat = Flat(np.where(copy.alpha[..., None] >= 128, copy.pixels, drawn.flat.pixels))
    height_mm = float(rng.uniform(40, 300))
    layers = (
        LayerSpec(mask_id="a", height_mm=height_mm),
        LayerSpec(mask_id="b", height_mm=height_mm * by / wrong_by),
    )
    return flat, _laid(copy, drawn.whole), replace(SPEC, layers=layers), (_box(drawn.flat), _box(copy))


PLANTED: dict[str, Callable[[_Drawn, np.random.Generator], Planted | None]] = {
    "clean": _clean,
    "wall": _wall,
    "gap": _gap,
    "alike": _alike,
    "larger": _larger,
    "longer": _longer,
    "second": _second,
    "scale": _scale,
    "pair": lambda drawn, rng: _pair(drawn, rng, float(rng.uniform(0.9, 1.1))),
}
"""Each kind of case. `clean` and `pair` have no defect. `wall` hangs before the wall, and `gap` above its own shadow.
`alike` has the colour of its scene. `larger` and `longer` are painted larger than they are, `second` has a copy beside
it, and `scale` has a second product of a wrong size."""


def _box(flat: Flat) -> BoxXYXY:
    rows, columns = np.flatnonzero((flat.alpha >= 128).any(axis=1)), np.flatnonzero((flat.alpha >= 128).any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _moved(flat: Flat, right: int, down: int) -> Flat:
    return _warped(flat, np.array([[1, 0, right], [0, 1, down]], np.float32))


def _warped(flat: Flat, shape: np.ndarray) -> Flat:
    size = flat.alpha.shape[1], flat.alpha.shape[0]
    return Flat(np.asarray(cv2.warpAffine(flat.pixels, shape, size, flags=cv2.INTER_AREA), np.uint8))


def _laid(flat: Flat, scene: U8) -> U8:
    share = flat.alpha[..., None].astype(np.float32) / 255
    return np.asarray(np.rint(flat.rgb * share + scene * (1 - share)), np.uint8)
