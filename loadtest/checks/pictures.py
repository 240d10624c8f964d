"""Checks a sample of the run's pictures after the load, when each sampled shot is rendered again, unbatched.

received == stored             the bytes received under load are the bytes that the server stores (SHA-256)
product  == photo              for a 1:1 layer, inside the mask eroded by its `lock_px`
product  ≈ photo x gain        likewise, of a relit shot, with the gain that the server publishes; within 1/255, because
                               the gain is enlarged here without the server's fixed-point rounding
picture  ≈ rendered unbatched  within 1/255 in fp32; in bf16 mean ≤ 0.5/255 and 99.9 % within 2/255 (docs/integrator.md)
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from loadtest.checks.layout import place
from loadtest.checks.png import png16
from loadtest.run.job import Job
from loadtest.run.recorder import Record
from loadtest.run.target import client

Pixels = NDArray[np.uint8]

GAIN_UNIT = 32_768
"""The value of a gain file that stands for the factor 1."""
EDGE_PX = 3
WAIT_S = 120


@dataclass
class Compared:
    """The result of the comparison."""

    pictures: int = 0
    """Pictures compared."""
    one_to_one: int = 0
    """Pictures whose product is 1:1, so that its pixels were compared with the photo's."""
    batched_alone_differ: float = 0.0
    """Largest difference of a pixel between a picture and its unbatched render, in 255ths."""
    wrong: list[str] = field(default_factory=list)
    """One sentence per failed check."""


def compare_sample(plan: Job, sample: Sequence[Record]) -> Compared:
    """Check each shot of the sample: render it again, unbatched. A shot that cannot be checked counts as wrong."""
    compared = Compared()
    for record in sample:
        tenant = plan.tenants[record["t"]]
        with client(plan.host, tenant.key) as http:
            try:
                _compare(http, record, compared)
            except (httpx.HTTPError, KeyError, ValueError) as error:
                compared.wrong.append(f"shot {record['shot']} cannot be checked: {type(error).__name__} {error}")
    return compared


def _compare(http: httpx.Client, record: Record, compared: Compared) -> None:
    request = record["request"]
    again = http.post(
        "/v1/shots",
        json={**request, "priority": "interactive"},
        headers={"prefer": f"wait={WAIT_S}"},
        timeout=WAIT_S + 10,
    )
    again.raise_for_status()
    unbatched_images = again.json()["images"]
    for (url, sha256), rerendered in zip(record["pictures"], unbatched_images, strict=True):
        data = _bytes(http, url)
        compared.pictures += 1
        if hashlib.sha256(data).hexdigest() != sha256:
            compared.wrong.append(f"{url}: the stored picture is not the one that was received")
        picture, unbatched = _image(data, "RGB"), _pixels(http, rerendered["url"], "RGB")
        difference = np.abs(picture.astype(np.int16) - unbatched)
        compared.batched_alone_differ = max(compared.batched_alone_differ, float(difference.max()))
        if why := scene_wrong(difference):
            compared.wrong.append(f"{url}: {why}")
        gain = _gain(http, url) if "relight" in request else None
        if product_wrong(http, record["photo"], request, picture, compared, gain):
            times = "" if gain is None else " times the gain"
            compared.wrong.append(f"{url}: the product's pixels are not the photo's{times}")


def scene_wrong(difference: NDArray[np.int16]) -> str:
    """Why `difference` (HxWx3, in 255ths) exceeds the bound of docs/integrator.md; empty when it does not."""
    highest, mean = int(difference.max()), float(difference.mean())
    if highest <= 1 or (mean <= 0.5 and float((difference <= 2).all(-1).mean()) >= 0.999):
        return ""
    return f"differs from its unbatched render by {highest}/255 at most and {mean:.2f}/255 on average"


def product_wrong(
    http: httpx.Client,
    photo_id: str,
    request: dict[str, Any],
    picture: Pixels,
    compared: Compared,
    gain: NDArray[np.uint16] | None = None,
) -> bool:
    """Whether the pixels of a 1:1 product differ from the photo's, or from the photo's times the gain of a relit shot.

    False for a scaled product: only the comparison with the unbatched render covers it.
    """
    layer, side = request["layers"][0], request["canvas"]["width"]
    cutout = _pixels(http, f"/v1/masks/{layer['mask_id']}/cutout", "RGBA")
    height, width = cutout.shape[:2]
    placed = place(layer["mask_id"], (width, height), side)
    if placed.layer != layer or not placed.one_to_one:
        return False
    compared.one_to_one += 1
    mask = _pixels(http, f"/v1/masks/{layer['mask_id']}", "L")
    photo = _pixels(http, f"/v1/photos/{photo_id}", "RGB")
    inside = eroded(mask)
    found = origin(cutout, photo, mask)
    if found is None:
        return True
    x, y = found
    here = np.s_[y : y + height, x : x + width]
    shown = picture[placed.top : placed.top + height, placed.left : placed.left + width]
    if gain is not None:
        lit = relit(photo[here], cutout[..., 3], gain)
        return bool((np.abs(shown[inside[here]].astype(np.int16) - lit[inside[here]]) > 1).any())
    return digest(shown, inside[here]) != digest(photo[here], inside[here])


def origin(cutout: Pixels, photo: Pixels, mask: Pixels) -> tuple[int, int] | None:
    """The (x, y) of the cutout's top-left corner in the photo: where all pixels inside match. None when there is none.

    Inside is the mask eroded by `lock_px`. The cutout's soft edge extends as far beyond the mask, at least EDGE_PX. It
    extends from thin parts too, of which nothing is inside.
    """
    reach = max(EDGE_PX, lock_px(photo.shape[:2]))
    height, width = cutout.shape[:2]
    inside = eroded(mask)
    rows, columns = np.nonzero(mask > 127)
    left, top = int(columns.min()), int(rows.min())
    for y in range(max(0, top - reach), top + 1):
        for x in range(max(0, left - reach), left + 1):
            here = np.s_[y : y + height, x : x + width]
            if photo[here].shape[:2] != (height, width) or inside[here].sum() != inside.sum():
                continue
            if np.array_equal(cutout[..., :3][inside[here]], photo[here][inside[here]]):
                return x, y
    return None


def relit(photo: Pixels, alpha: Pixels, gain: NDArray[np.uint16]) -> Pixels:
    """The photo (HxWx3) times the gain, which lies over the box of the alpha (HxW), as docs/integrator.md states it."""
    rows, columns = np.nonzero(alpha.any(1))[0], np.nonzero(alpha.any(0))[0]
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    lit = photo.copy()
    height, width = lit[box].shape[:2]
    factors = _enlarged(_enlarged(gain / GAIN_UNIT, height, 0), width, 1)
    lit[box] = np.minimum(np.rint(lit[box] * factors), 255).astype(np.uint8)
    return lit


def _enlarged(values: NDArray[np.float64], length: int, axis: int) -> NDArray[np.float64]:
    """The values along an axis interpolated linearly to `length`, centres on centres."""
    last = values.shape[axis] - 1
    at = np.clip((np.arange(length) + 0.5) * (last + 1) / length - 0.5, 0, last)
    low = np.floor(at).astype(int)
    part = np.expand_dims(at - low, tuple(range(1, values.ndim - axis)))
    before, after = (np.take(values, np.minimum(index, last), axis) for index in (low, low + 1))
    return np.asarray(before + (after - before) * part, np.float64)


def lock_px(mask_px: tuple[int, ...]) -> int:
    """The `lock_px` of a clicked mask of this height and width, as docs/integrator.md states it."""
    return 2 if max(mask_px) <= 1024 else round(0.75 * max(mask_px) / 256)


def eroded(mask: Pixels) -> NDArray[np.bool_]:
    """The mask eroded by its `lock_px` on every side."""
    side = 2 * lock_px(mask.shape) + 1
    kept = Image.fromarray((mask > 127).astype(np.uint8) * 255).filter(ImageFilter.MinFilter(side))
    return np.asarray(kept) > 127


def digest(pixels: Pixels, inside: NDArray[np.bool_]) -> str:
    """The SHA-256 of the pixels inside, in hexadecimal."""
    return hashlib.sha256(pixels[inside].tobytes()).hexdigest()


def _gain(http: httpx.Client, url: str) -> NDArray[np.uint16] | None:
    """The gain over a picture's relit product. None for a product that was not relit, because it seems to be glass."""
    answer = http.get(f"{url}/gain")
    if answer.status_code == 404:
        return None
    answer.raise_for_status()
    return png16(answer.content)


def _bytes(http: httpx.Client, url: str) -> bytes:
    answer = http.get(url)
    answer.raise_for_status()
    return answer.content


def _pixels(http: httpx.Client, url: str, mode: str) -> Pixels:
    return _image(_bytes(http, url), mode)


def _image(data: bytes, mode: str) -> Pixels:
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        return np.asarray(image.convert(mode))
