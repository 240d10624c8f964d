"""How often POST /v1/verify recognises a file, and how often it is wrong: `python -m bench.verify_quality`.

200 pictures of ours, half painted scenes with a watermark and half products on a plain backdrop, are stored as a
server stores them, and delivered as JPEGs. Each is handled as usual: saved again, resized, cropped, seen on a screen,
framed, mirrored. Their bytes and signatures are gone, so watermark and fingerprint must recognise them. 1,000 pictures
are foreign: crops of photographs of scikit-image, drawn scenes, and products on plain backdrops. `near` are other
pictures of our products: turned, relit, recoloured. A file counts as recognised when the answer names its picture.

    --ours N --foreign N     how many
    --out DIR                where table.md and the wrong answers go (default out/verify)

The exit code is 1 when a foreign picture was taken for ours.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import skimage.data
import torch
from PIL import Image

from packshot.imaging.fingerprint import Fingerprint, fingerprint_of
from packshot.imaging.picture_frame import inside_frame
from packshot.imaging.watermark import embed, read_mark
from packshot.store.fingerprints import Sketched
from packshot.store.lookalikes import Lookalikes
from packshot.types import U8
from training.scenes import render

SIDE_PX = 768
VARIANTS = 4
"""Pictures of one drawing."""
DRAWN_PX = 160
FOREIGN_SEED = 50_000
BACKDROPS = ((255, 255, 255), (255, 255, 255), (244, 244, 242), (214, 226, 233))
PHOTOS = ("astronaut", "chelsea", "coffee", "rocket", "hubble_deep_field", "retina", "immunohistochemistry", "brick")
PHOTOS_GREY = ("camera", "grass", "gravel", "moon", "coins", "page", "text", "clock")

Kind = Literal["scene", "plain"]


@dataclass
class Shelf:
    """Fingerprints and watermarks of stored files, as the store gives them."""

    rows: list[tuple[str, Fingerprint]] = field(default_factory=list)
    marks: dict[int, str] = field(default_factory=dict)

    def hashes_after(self, seq: int, most: int) -> list[tuple[int, bytes]]:
        return [(at + 1, self.rows[at][1].hashes) for at in range(seq, min(seq + most, len(self.rows)))]

    def sketches(self, seqs: Sequence[int]) -> list[Sketched]:
        return [Sketched(seq, self.rows[seq - 1][0], self.rows[seq - 1][1].sketch) for seq in seqs]

    def add(self, name: str, pixels: U8) -> bool:
        found = fingerprint_of(pixels)
        if found is not None:
            self.rows.append((name, found))
        return found is not None


@dataclass(frozen=True)
class Answer:
    """What a file was recognised by, and as which pictures."""

    by: Literal["watermark", "fingerprint", "none"]
    names: tuple[str, ...] = ()


def asked(pixels: U8, shelf: Shelf, look: Lookalikes) -> Answer:
    """The answer of the server: the watermark first, then the fingerprint, then both of what lies within a frame."""
    place = inside_frame(pixels)
    for x0, y0, x1, y1 in ((0, 0, pixels.shape[1], pixels.shape[0]), *((place,) if place else ())):
        part = np.ascontiguousarray(pixels[y0:y1, x0:x1])
        mark = read_mark(part)
        if mark is not None and mark in shelf.marks:
            return Answer("watermark", (shelf.marks[mark],))
        found = fingerprint_of(part)
        alike = [] if found is None else look.search(found)
        if alike:
            return Answer("fingerprint", tuple(one.file_id for one in alike))
    return Answer("none")


@lru_cache(2)
def _drawn(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(scene, product premultiplied with its alpha, alpha): float32 in levels and 0..1."""
    batch = render(1, DRAWN_PX, seed)
    image, product, mask = (one[0].numpy().astype(np.float32) for one in (batch.image, batch.product, batch.mask))
    return image, product * 255, mask[..., None]


def drawn(seed: int, variant: int = 0) -> tuple[U8, U8]:
    """(a scene with a product, the product alone on a backdrop): uint8 SIDE_PX x SIDE_PX x 3.

    Drawing is dear, so a seed has VARIANTS: other colours, other parts of the scene, and other backdrops.
    """
    scene, product, alpha = _drawn(seed)
    rng = np.random.default_rng((seed, variant))
    backdrop = np.array(BACKDROPS[(seed + variant) % len(BACKDROPS)], np.float32)
    if variant:
        tint = rng.permutation(3)
        scene, product = scene[..., tint], product[..., tint] * np.float32(rng.uniform(0.75, 1.0))
        scene = cropped(scene, float(rng.uniform(0.75, 0.9)), rng)
    cover = cv2.resize(alpha, (SIDE_PX, SIDE_PX))[..., None]
    return _enlarged(scene, rng, None), _enlarged(product + backdrop * (1 - alpha), rng, cover)


def _enlarged(pixels: np.ndarray, rng: np.random.Generator, cover: np.ndarray | None) -> U8:
    """Enlarged, with a camera's noise; none where `cover` is 0, as a plain backdrop is drawn."""
    large = cv2.resize(pixels.astype(np.float32), (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC)
    noise = rng.normal(0, 2.0, large.shape).astype(np.float32)
    return np.asarray(np.clip(np.rint(large + (noise if cover is None else noise * cover)), 0, 255), np.uint8)


def jpeg(pixels: U8, quality: int) -> U8:
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(out, "JPEG", quality=quality)
    return np.array(Image.open(out))


def scaled(pixels: U8, by: float) -> U8:
    how = cv2.INTER_AREA if by < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, None, fx=by, fy=by, interpolation=how), np.uint8)


def cropped(pixels: Any, share: float, rng: np.random.Generator) -> Any:
    """A part of the pixels with `share` of each side, at a random place."""
    height, width = pixels.shape[:2]
    high, wide = round(height * share), round(width * share)
    y, x = int(rng.integers(height - high + 1)), int(rng.integers(width - wide + 1))
    return np.ascontiguousarray(pixels[y : y + high, x : x + wide])


def on_screen(pixels: U8, rng: np.random.Generator) -> U8:
    """Seen on a screen at another size, a little brighter, and cut out by hand: up to 3 px are missing at each side."""
    shown = scaled(pixels, float(rng.uniform(0.6, 1.3)))
    top, left, bottom, right = (int(one) for one in rng.integers(0, 4, 4))
    cut = shown[top : shown.shape[0] - bottom, left : shown.shape[1] - right]
    return np.clip(np.rint(255 * (cut / 255.0) ** 0.97), 0, 255).astype(np.uint8)


def framed(pixels: U8, rng: np.random.Generator) -> U8:
    wide = round(SIDE_PX * 0.04)
    colour = [int(one) for one in rng.integers(0, 256, 3)]
    return np.asarray(cv2.copyMakeBorder(pixels, wide, wide, wide, wide, cv2.BORDER_CONSTANT, value=colour), np.uint8)


HANDLED: dict[str, Callable[[U8, np.random.Generator], U8]] = {
    "saved again, JPEG q70": lambda pixels, _: jpeg(pixels, 70),
    "resized to 75 %, q80": lambda pixels, _: jpeg(scaled(pixels, 0.75), 80),
    "resized to 40 %, q80": lambda pixels, _: jpeg(scaled(pixels, 0.4), 80),
    "cropped to 90 % of each side": lambda pixels, rng: jpeg(cropped(pixels, 0.9, rng), 85),
    "cropped to 80 % of each side": lambda pixels, rng: jpeg(cropped(pixels, 0.8, rng), 85),
    "screenshot": on_screen,
    "a frame of 4 %": lambda pixels, rng: jpeg(framed(pixels, rng), 85),
    "mirrored": lambda pixels, _: jpeg(pixels[:, ::-1], 85),
}


def _turned(pixels: U8, rng: np.random.Generator) -> U8:
    matrix = cv2.getRotationMatrix2D((SIDE_PX / 2, SIDE_PX / 2), float(rng.choice([-6, 6])), 1.0)
    return np.asarray(cv2.warpAffine(pixels, matrix, (SIDE_PX, SIDE_PX), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _relit(pixels: U8, rng: np.random.Generator) -> U8:
    """Another light from one side: the product alone gets it, as a backdrop is white in every light."""
    product = (np.abs(pixels.astype(np.int16) - pixels[0, 0]).max(axis=-1) > 8)[..., None]
    light = np.linspace(1.15, 0.7, SIDE_PX)[None, :, None][:, :: int(rng.choice([-1, 1]))]
    return np.where(product, np.clip(pixels * light, 0, 255), pixels).astype(np.uint8)


def _recoloured(pixels: U8, _: np.random.Generator) -> U8:
    hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(np.int16) + 25) % 180
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)


NEAR: dict[str, Callable[[U8, np.random.Generator], U8]] = {
    "our product, turned by 6 degrees": _turned,
    "our product in another light": _relit,
    "our product in another colour": _recoloured,
}


def photographs() -> list[U8]:
    """The photographs in scikit-image's wheel, uint8 HxWx3."""
    colour = [np.asarray(getattr(skimage.data, name)(), np.uint8)[..., :3] for name in PHOTOS[:-1]]
    grey = [np.asarray(getattr(skimage.data, name)(), np.uint8) for name in (PHOTOS[-1], *PHOTOS_GREY)]
    return [*colour, *(np.dstack([one] * 3) for one in grey)]


def foreign(count: int) -> Iterator[tuple[str, U8]]:
    """(kind, pixels) of foreign pictures: two in five are parts of photographs, the others are drawn."""
    photos = photographs()
    rng = np.random.default_rng(FOREIGN_SEED)
    of_photos = round(0.4 * count)
    for at in range(of_photos):
        part = cropped(photos[at % len(photos)], float(rng.uniform(0.35, 0.95)), rng)
        part = part[:, ::-1] if rng.integers(2) else part
        part = np.clip(part * rng.uniform(0.8, 1.2, 3) + rng.uniform(-15, 15), 0, 255).astype(np.uint8)
        yield "part of a photograph", jpeg(part, int(rng.integers(60, 95)))
    for at in range(-(-(count - of_photos) // 2)):
        scene, plain = drawn(FOREIGN_SEED + at // VARIANTS, at % VARIANTS)
        yield "drawn scene", jpeg(scene, 85)
        if of_photos + 2 * at + 1 < count:
            yield "product on a plain backdrop", jpeg(plain, 85)


@dataclass
class Counts:
    """Of one row: how many were asked, recognised, and recognised as another picture, and by what."""

    asked: int = 0
    right: int = 0
    wrong: int = 0
    marked: int = 0

    def count(self, answer: Answer, name: str | None) -> None:
        self.asked += 1
        right = name is not None and name in answer.names[:1]
        self.right += right
        self.wrong += bool(answer.names) and not right
        self.marked += answer.by == "watermark"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", type=int, default=200)
    parser.add_argument("--foreign", type=int, default=1_000)
    parser.add_argument("--out", type=Path, default=Path("out/verify"))
    args = parser.parse_args(argv)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    shelf, without = Shelf(), 0
    rows: dict[tuple[str, str], Counts] = {}
    delivered: dict[str, tuple[Kind, U8]] = {}
    for seed in range(-(-args.ours // 2)):
        for kind, pixels in zip(("scene", "plain"), drawn(seed // VARIANTS, seed % VARIANTS), strict=True):
            name, sent = f"{kind}-{seed}", pixels
            if kind == "scene":
                shelf.marks[1 + seed] = name
                sent = embed(pixels, 1 + seed, None)
            sent = jpeg(sent, 90)
            without += not shelf.add(name, pixels)
            shelf.add(name, sent)  # the delivered file has a fingerprint of its own
            delivered[name] = ("scene" if kind == "scene" else "plain", sent)
        _progress("ours", seed + 1, -(-args.ours // 2), args.out, rows, without)
    look = Lookalikes(shelf)  # type: ignore[arg-type]
    wrong: list[dict[str, str]] = []
    began = time.process_time()
    for at, (what, pixels) in enumerate(foreign(args.foreign)):
        answer = asked(pixels, shelf, look)
        rows.setdefault(("foreign", what), Counts()).count(answer, None)
        if answer.names:
            wrong.append({"foreign": f"{what} {at}", "taken_for": answer.names[0], "by": answer.by})
            Image.fromarray(pixels).save(args.out / f"wrong-{at:04}.jpg")
        _progress("foreign", at + 1, args.foreign, args.out, rows, without)
    for at, (name, (kind, pixels)) in enumerate(delivered.items()):
        rng = np.random.default_rng(at)
        for how, handle in HANDLED.items():
            answer = asked(np.ascontiguousarray(handle(pixels, rng)), shelf, look)
            rows.setdefault((kind, how), Counts()).count(answer, name)
        for how, handle in NEAR.items() if kind == "plain" else ():
            answer = asked(jpeg(handle(pixels, rng), 85), shelf, look)
            rows.setdefault(("near", how), Counts()).count(answer, None)
        _progress("handled", at + 1, len(delivered), args.out, rows, without)
    table = _table(rows, without)
    (args.out / "table.md").write_text(table, "utf-8")
    print(table)
    spent = time.process_time() - began
    print(json.dumps({"row": "verify_quality", "wrong": wrong, "without_fingerprint": without, "cpu_s": round(spent)}))
    return 1 if wrong else 0


def _table(rows: dict[tuple[str, str], Counts], without: int) -> str:
    lines = ["| file | asked | recognised | as another picture | by watermark |", "|---|---|---|---|---|"]
    titles = {"scene": "our scene, ", "plain": "our product on a plain backdrop, ", "near": "", "foreign": "foreign: "}
    for (kind, how), one in rows.items():
        rate = f"{one.right / one.asked:.1%}" if kind in ("scene", "plain") else ""
        taken = one.wrong if kind in ("scene", "plain") else f"{one.wrong} taken for ours"
        lines.append(f"| {titles[kind]}{how} | {one.asked} | {rate} | {taken} | {one.marked or ''} |")
    usual = [one for (kind, _), one in rows.items() if kind in ("scene", "plain")]
    false = sum(one.wrong for (kind, _), one in rows.items() if kind == "foreign")
    right, said = sum(one.right for one in usual), sum(one.right + one.wrong for one in usual) + false
    recall = right / max(1, sum(one.asked for one in usual))
    lines.append(f"\nPrecision {right / max(1, said):.4f}, recall {recall:.4f}. {without} of ours have no fingerprint.")
    return "\n".join(lines) + "\n"


def _progress(what: str, at: int, of: int, out: Path, rows: dict[tuple[str, str], Counts], without: int) -> None:
    """Write the table as far as it is, so that a run that is stopped has one."""
    if at % 20 == 0 or at == of:
        print(f"{what}: {at} of {of}", flush=True)
        (out / "table.md").write_text(_table(rows, without), "utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
