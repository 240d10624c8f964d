"""Collages for the segmenter: flat product pictures with exact masks, from shapes, noise and scikit-image's photos.

The renderer in `training.scenes` models light and space. Collages add real textures, near-camouflage colours, clutter,
occlusion, and cups on saucers of the same colour. The segmenter is trained on both, so that it cannot overfit to
either. The demo's coffee photo is never used here.

`collage(rng, size_px)` returns (image uint8 SxSx3 RGB, whole uint8 SxS, part uint8 SxS). In the masks 255 = product.
`part` is a product that could be meant on its own (the cup without its saucer, one of two neighbours), or all zero.
"""

from __future__ import annotations

import cv2
import numpy as np

from training.mini.textures import F32, U8, Rng, colour, noise, texture


class Stage:
    """A collage in progress. Shapes are painted over each other, and `owner` records which object each pixel shows.

    `picture` is float SxSx3 in 0..1 and starts as the backdrop. `owner` is uint8 SxS.
    """

    def __init__(self, rng: Rng, size: int, backdrop: F32) -> None:
        self.rng, self.size, self.picture = rng, size, backdrop
        self.owner = np.zeros((size, size), np.uint8)  # 0 = background, otherwise the object's number
        self.light = rng.uniform(0, 2 * np.pi)

    def fill(self, outline: F32, owner: int, paint: F32, *, shade: float = 0.35, gloss: float = 0.3) -> U8:
        """Fill the polygon (Nx2 pixels) with `paint` (a colour or SxSx3), shaded along a random direction."""
        rng, size = self.rng, self.size
        alpha = np.zeros((size, size), np.uint8)
        cv2.fillPoly(alpha, [np.round(outline * 16).astype(np.int32)], 255, lineType=cv2.LINE_8, shift=4)
        low, high = np.floor(outline.min(0)).astype(int), np.ceil(outline.max(0)).astype(int) + 1
        x0, y0 = np.clip(low, 0, size)
        x1, y1 = np.clip(high, 0, size)
        if x1 - x0 < 2 or y1 - y0 < 2:
            return alpha
        ys, xs = np.mgrid[y0:y1, x0:x1].astype(np.float32)
        centre, reach = outline.mean(0), max(float(np.ptp(outline, axis=0).max()) / 2, 1.0)
        direction = self.light + rng.normal(0, 0.5)
        along = ((xs - centre[0]) * np.cos(direction) + (ys - centre[1]) * np.sin(direction)) / reach
        if rng.random() < 0.4:
            along = 1 - 2 * along**2  # a round surface: bright in the middle, dark towards both sides
        gain = 1 + rng.uniform(0, shade) * np.clip(along, -1.2, 1.2)
        surface = paint[y0:y1, x0:x1] if paint.ndim == 3 else np.broadcast_to(paint, (*xs.shape, 3))
        surface = surface * gain[..., None]
        for _ in range(rng.poisson(1.5) if rng.random() < gloss * 2 else 0):
            sx, sy = centre + rng.normal(0, 0.45, 2) * reach
            a, b = reach * rng.uniform(0.03, 0.3, 2)
            spot = np.exp(-np.clip(((xs - sx) / a) ** 2 + ((ys - sy) / b) ** 2, 0, 20)) * rng.uniform(0.1, 0.9)
            surface = surface + spot[..., None]
        region = alpha[y0:y1, x0:x1] > 0
        self.picture[y0:y1, x0:x1][region] = np.clip(surface, 0, 1)[region]
        self.owner[y0:y1, x0:x1][region] = owner
        return alpha

    def shadow(self, outline: F32, strength: float, softness: float, shift: tuple[float, float]) -> None:
        """Darken the picture under the shifted polygon. `softness` is the blur in pixels."""
        small = self.size // 4
        alpha = np.zeros((small, small), np.float32)
        cv2.fillPoly(alpha, [np.round((outline + shift) / 4).astype(np.int32)], 1.0)
        alpha = cv2.GaussianBlur(alpha, (0, 0), max(softness / 4, 0.5))
        alpha = cv2.resize(alpha, (self.size, self.size), interpolation=cv2.INTER_LINEAR)
        self.picture *= 1 - strength * alpha[..., None]


def _ellipse(cx: float, cy: float, a: float, b: float, turn: float = 0.0, count: int = 90) -> F32:
    t = np.linspace(0, 2 * np.pi, count, endpoint=False)
    x, y = a * np.cos(t), b * np.sin(t)
    return np.stack([cx + x * np.cos(turn) - y * np.sin(turn), cy + x * np.sin(turn) + y * np.cos(turn)], 1).astype(
        np.float32
    )


def _hull(*outlines: F32) -> F32:
    corners: F32 = cv2.convexHull(np.concatenate(outlines).astype(np.float32))[:, 0]
    return corners


def _paint(stage: Stage, near: F32 | None = None) -> F32:
    rng = stage.rng
    return texture(rng, stage.size, near) if rng.random() < 0.3 else (colour(rng) if near is None else near)


def blob(stage: Stage, owner: int, cx: float, cy: float, reach: float, near: F32 | None) -> None:
    """A smooth closed shape with up to three patches of other colours on it."""
    rng = stage.rng
    t = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    radius = 1 + sum(rng.normal(0, 0.22 / k) * np.cos(k * t + rng.uniform(0, 6)) for k in range(1, 6))
    radius = np.clip(radius, 0.25, 1.8)
    squash, turn = rng.uniform(0.4, 1.0), rng.uniform(0, 6)
    x, y = reach * radius * np.cos(t) * 0.8, reach * radius * np.sin(t) * squash * 0.8
    outline = np.stack([cx + x * np.cos(turn) - y * np.sin(turn), cy + x * np.sin(turn) + y * np.cos(turn)], 1).astype(
        np.float32
    )
    _cast(stage, outline, reach)
    stage.fill(outline, owner, _paint(stage, near))
    for _ in range(rng.integers(0, 4)):
        inner = (outline - outline.mean(0)) * rng.uniform(0.1, 0.6) + outline.mean(0) + rng.normal(0, 0.15, 2) * reach
        paint, mask = _paint(stage), np.zeros((stage.size, stage.size), np.uint8)
        cv2.fillPoly(mask, [np.round(inner).astype(np.int32)], 255)
        inside = (mask > 0) & (stage.owner == owner)
        stage.picture[inside] = paint[inside] if paint.ndim == 3 else paint


def box(stage: Stage, owner: int, cx: float, cy: float, reach: float, near: F32 | None) -> None:
    """A carton seen from a corner: three faces of one colour in three shades, often with a label."""
    rng = stage.rng
    w, d, h = (reach * rng.uniform(0.4, 1.0) for _ in range(3))
    yaw, tilt = rng.uniform(0.1, 1.4), rng.uniform(0.0, 0.8)
    ex = np.array([np.cos(yaw) * w, np.sin(yaw) * w * np.sin(tilt)])
    ey = np.array([-np.sin(yaw) * d, np.cos(yaw) * d * np.sin(tilt)])
    up = np.array([0, -h * np.cos(tilt)]) * 1.4
    o = np.array([cx, cy]) - (ex + ey + up) / 2
    faces = [(o, ex, ey, up)]
    paint = _paint(stage, near)
    origin, ax, ay, az = faces[0]
    top = np.array([origin + az, origin + az + ax, origin + az + ax + ay, origin + az + ay])
    front = np.array([origin + ay, origin + ay + ax, origin + ay + ax + az, origin + ay + az])
    right = np.array([origin + ax, origin + ax + ay, origin + ax + ay + az, origin + ax + az])
    _cast(stage, _hull(*(f.astype(np.float32) for f in (top, front, right))), reach)
    for face, gain in zip(
        (right, front, top), rng.permutation([1.0, rng.uniform(0.5, 0.9), rng.uniform(0.7, 1.15)]), strict=True
    ):
        stage.fill(face.astype(np.float32), owner, np.clip(paint * np.float32(gain), 0, 1), shade=0.15, gloss=0.1)
    if rng.random() < 0.7:  # a label on the front
        u0, v0 = rng.uniform(0.1, 0.35, 2)
        u1, v1 = rng.uniform(0.6, 0.9, 2)
        a, b, c = front[0], front[1] - front[0], front[3] - front[0]
        stage.fill(
            np.array([a + b * u + c * v for u, v in ((u0, v0), (u1, v0), (u1, v1), (u0, v1))], np.float32),
            owner,
            _paint(stage),
        )


def bottle(stage: Stage, owner: int, cx: float, cy: float, reach: float, near: F32 | None) -> None:
    """A body of revolution (bottle, jar, tube, vase) with bands of other colours, standing or lying."""
    rng = stage.rng
    knots = np.sort(rng.uniform(0, 1, rng.integers(1, 5)))
    stops = np.concatenate([[0.0], knots, [1.0]])
    widths = rng.uniform(0.12, 0.5, len(stops)) * rng.uniform(0.6, 1.3)
    v = np.linspace(0, 1, 60)
    half = np.interp(v, stops, widths)
    half = (
        cv2.GaussianBlur(half[:, None].astype(np.float32), (1, 9), rng.uniform(0.3, 3))[:, 0]
        if rng.random() < 0.7
        else half
    )
    turn = rng.normal(0, 0.15) if rng.random() < 0.75 else rng.uniform(0, 6)
    sag = rng.uniform(0.0, 0.35)  # how round the ends appear from above

    def band(v0: float, v1: float, grow: float = 1.0) -> F32:
        rows = np.linspace(v0, v1, 24)
        w = np.interp(rows, v, half) * grow
        arc = np.linspace(-1, 1, 13)
        low = np.stack([arc * w[0], rows[0] * 2 - 1 + sag * w[0] * (1 - arc**2) ** 0.5 * (1 if v0 > 0 else -1)], 1)
        high = np.stack([-arc * w[-1], rows[-1] * 2 - 1 + sag * w[-1] * (1 - arc**2) ** 0.5], 1)
        right = np.stack([w, rows * 2 - 1], 1)
        left = np.stack([-w[::-1], rows[::-1] * 2 - 1], 1)
        points = np.concatenate([low, right, high, left]) * reach
        c, s = np.cos(turn), np.sin(turn)
        outline: F32 = (points @ np.array([[c, s], [-s, c]]) + (cx, cy)).astype(np.float32)
        return outline

    paint = _paint(stage, near)
    _cast(stage, band(0, 1), reach)
    stage.fill(band(0, 1), owner, paint, shade=0.6, gloss=0.5)
    for _ in range(rng.integers(0, 4)):
        v0 = rng.uniform(0, 0.85)
        stage.fill(
            band(v0, min(1.0, v0 + rng.uniform(0.05, 0.5))),
            owner,
            _paint(stage, near if rng.random() < 0.2 else None),
            shade=0.6,
        )


def cup(
    stage: Stage, owner: int, cx: float, cy: float, reach: float, near: F32 | None, part: int | None = None
) -> None:
    """A cup, bowl or glass seen from above at an angle, usually on a saucer.

    The saucer has the number `owner`. The cup on it has the number `part` when that is given.
    """
    rng = stage.rng
    squash = rng.uniform(0.3, 0.97)
    turn = rng.normal(0, 0.15)
    outside = _paint(stage, near)
    saucer = rng.random() < 0.8
    cup_owner = owner if part is None or not saucer else part
    r = reach * (rng.uniform(0.4, 0.72) if saucer else rng.uniform(0.7, 1.0))
    tall = r * rng.uniform(0.5, 1.6) * (1 - squash**2) ** 0.5 + r * 0.08
    base_y = cy if saucer else cy + tall / 2
    if saucer:
        plate = outside if rng.random() < 0.65 else _paint(stage)
        disc = _ellipse(cx, cy, reach, reach * squash, turn)
        _cast(stage, disc, reach)
        stage.fill(disc, owner, plate, shade=0.4, gloss=0.5)
        middle = np.array([cx, cy])
        for scale in np.sort(rng.uniform(0.45, 0.97, rng.integers(0, 4)))[::-1]:
            gain = np.float32(rng.uniform(0.8, 1.25))
            stage.fill(
                (disc - middle) * scale + middle,
                owner,
                np.clip(plate * gain, 0, 1).astype(np.float32),
                shade=0.4,
                gloss=0.5,
            )
        stage.shadow(
            _ellipse(cx, cy, r, r * squash),
            rng.uniform(0.1, 0.6),
            r * 0.15,
            (rng.normal(0, r / 4), rng.normal(0, r / 4)),
        )
        cx, base_y = cx + rng.normal(0, 0.06) * reach, base_y + rng.normal(0, 0.05) * reach
    top = _ellipse(cx, base_y - tall, r, r * squash)
    bottom_r = r * rng.uniform(0.45, 0.95)
    bottom = _ellipse(cx, base_y, bottom_r, bottom_r * squash)
    body = _hull(top, bottom)
    if not saucer:
        _cast(stage, body, reach)
    if rng.random() < 0.7:  # the handle: a thick arc whose opening shows what is behind it
        side, length = rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 1.0), rng.uniform(0.3, 0.55) * r
        hx, hy = cx + side * r, base_y - tall * 0.5 + rng.uniform(0, 0.5) * r * squash
        ring, width = (
            _ellipse(hx, hy, length, length * rng.uniform(0.6, 1.1), rng.uniform(-0.6, 0.6)),
            length * rng.uniform(0.25, 0.6),
        )
        mask = np.zeros((stage.size, stage.size), np.uint8)
        cv2.polylines(mask, [np.round(ring).astype(np.int32)], True, 255, max(2, int(width)))
        on = mask > 0
        stage.picture[on] = (outside[on] if outside.ndim == 3 else outside) * np.float32(rng.uniform(0.6, 1.1))
        stage.owner[on] = cup_owner
    stage.fill(body, cup_owner, outside, shade=0.6, gloss=0.5)
    rim = np.ones(3, np.float32) * np.float32(rng.uniform(0.75, 1.0)) if rng.random() < 0.6 else _paint(stage)
    stage.fill(top, cup_owner, rim, shade=0.3)
    lip, centre = rng.uniform(0.8, 0.95), np.array([cx, base_y - tall])
    stage.fill(
        (top - centre) * lip + centre, cup_owner, np.clip(rim * np.float32(rng.uniform(0.6, 1.0)), 0, 1), shade=0.5
    )
    if rng.random() < 0.7:
        level = rng.uniform(0.4, 0.85)
        drink = (top - centre) * lip * level + centre + (0, (1 - level) * r * squash * rng.uniform(0.0, 0.8))
        stage.fill(drink.astype(np.float32), cup_owner, _paint(stage), shade=0.4)
    if saucer and rng.random() < 0.5:
        spoon(stage, owner, cx + rng.normal(0, 0.5) * reach, cy + rng.uniform(0, 0.6) * reach * squash, reach)


def spoon(stage: Stage, owner: int, cx: float, cy: float, reach: float) -> None:
    """A metal spoon: a grey, glossy oval with a rod."""
    rng = stage.rng
    turn, metal = (
        rng.uniform(0, 6),
        np.full(3, rng.uniform(0.3, 0.8), np.float32) * rng.uniform(0.9, 1.1, 3).astype(np.float32),
    )
    along = np.array([np.cos(turn), np.sin(turn)])
    across = np.array([-along[1], along[0]]) * reach * 0.04
    length = reach * rng.uniform(0.4, 0.9)
    c = np.array([cx, cy])
    rod = np.array(
        [c - across * 0.6, c + along * length - across, c + along * length + across, c + across * 0.6], np.float32
    )
    stage.fill(rod, owner, metal, shade=0.8, gloss=0.6)
    stage.fill(_ellipse(cx, cy, reach * 0.2, reach * 0.13, turn), owner, metal, shade=0.8, gloss=0.6)


def _cast(stage: Stage, outline: F32, reach: float) -> None:
    """Cast a shadow of the outline, most of the time."""
    rng = stage.rng
    if rng.random() < 0.75:
        drop = reach * rng.uniform(0.02, 0.35)
        shift = (-np.cos(stage.light) * drop, abs(np.sin(stage.light)) * drop)
        stage.shadow(outline, rng.uniform(0.15, 0.75), reach * rng.uniform(0.02, 0.25), shift)


def collage(rng: Rng, size_px: int = 256) -> tuple[U8, U8, U8]:
    """Make one collage of `size_px` squared; see the module's docstring."""
    size = size_px * 2
    backdrop = texture(rng, size)
    if rng.random() < 0.4:  # a second surface: a wall behind the table, or the table's edge
        cut = (
            np.cumsum(rng.normal(0, 0.02, size)) * 0
            + rng.uniform(0.1, 0.6) * size
            + np.arange(size) * rng.normal(0, 0.4)
        )
        rows = np.arange(size)[:, None] < cut[None]
        backdrop = np.where(rows[..., None], texture(rng, size), backdrop)
        if rng.random() < 0.5:
            backdrop = np.ascontiguousarray(backdrop.transpose(1, 0, 2))
    backdrop = np.ascontiguousarray(backdrop, dtype=np.float32)
    stage = Stage(rng, size, backdrop)
    shapes = (blob, box, bottle, cup)
    reach = size * rng.uniform(0.14, 0.47)
    cx, cy = (np.clip(rng.normal(0.5, 0.12), 0.2, 0.8) * size for _ in range(2))
    local = backdrop[int(cy), int(cx)].copy()
    near = np.clip(local + rng.normal(0, 0.12, 3), 0, 1).astype(np.float32) if rng.random() < 0.3 else None
    for number in range(rng.integers(0, 4)):  # clutter behind the product
        shape = shapes[rng.integers(4)]
        shape(stage, 100 + number, rng.uniform(0, size), rng.uniform(0, size), size * rng.uniform(0.05, 0.3), None)
    kind = rng.choice(4, p=[0.2, 0.17, 0.23, 0.4])
    if kind == 3:
        cup(stage, 1, cx, cy, reach, near, part=2)
    elif rng.random() < 0.25:  # two neighbouring products that form one; the second is the part
        away = rng.uniform(0, 2 * np.pi)
        gap = np.array([np.cos(away), np.sin(away)]) * reach * rng.uniform(0.4, 0.8)
        shapes[kind](stage, 1, cx - gap[0], cy - gap[1], reach * 0.65, near)
        shapes[rng.integers(3)](stage, 2, cx + gap[0], cy + gap[1], reach * 0.65, None)
    else:
        shapes[kind](stage, 1, cx, cy, reach, near)
    if rng.random() < 0.2:  # an object in front of the product
        shapes[rng.integers(4)](
            stage, 120, rng.uniform(0, size), rng.uniform(0, size), size * rng.uniform(0.04, 0.15), None
        )
    product, part_only = (stage.owner == 1) | (stage.owner == 2), stage.owner == 2
    picture = cv2.resize(stage.picture, (size_px, size_px), interpolation=cv2.INTER_AREA)
    whole, part = (
        cv2.resize(mask.astype(np.uint8) * 255, (size_px, size_px), interpolation=cv2.INTER_AREA)
        for mask in (product, part_only)
    )
    return degrade(rng, picture), whole, part


def degrade(rng: Rng, picture: F32) -> U8:
    """Degrade a picture (float HxWx3 in 0..1) as an amateur's camera would, and return it as uint8.

    The degradations are white balance, exposure, uneven light, blur, noise and JPEG compression.
    """
    picture = np.clip(picture, 0, 1) ** np.float32(rng.uniform(0.6, 1.6))
    warm = rng.normal(0, 0.12)
    picture = (
        picture
        * np.array([1 + warm, 1 + rng.normal(0, 0.03), 1 - warm], np.float32)
        * np.float32(rng.uniform(0.7, 1.2))
    )
    size = picture.shape[0]
    if rng.random() < 0.5:
        picture = picture * (0.7 + 0.6 * noise(rng, size, coarse=1.5, octaves=1))[..., None]
    if rng.random() < 0.5:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 1.3))
    if rng.random() < 0.6:
        picture = picture + rng.standard_normal(picture.shape, dtype=np.float32) * np.float32(rng.uniform(0.004, 0.05))
    image = (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
    if rng.random() < 0.6:
        quality = int(rng.integers(35, 95))
        _, coded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        decoded = cv2.imdecode(coded, cv2.IMREAD_COLOR)
        assert decoded is not None, "OpenCV decodes the JPEG that it has written"
        image = decoded[..., ::-1]
    return np.ascontiguousarray(image)
