"""After the load: a sample of the run's pictures, held against the photo's pixels and against the same shot painted
alone.

received == stored          the bytes that came under load are those the server keeps (SHA-256)
product   == photo          inside the mask less 2 px, where the layer is 1:1; else == the lone picture's
scene     ≈ painted alone   within 1/255 in fp32; in bf16 mean ≤ 0.5/255 and 99.9 % within 2/255 (api.md)
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
from loadtest.run.job import Job
from loadtest.run.recorder import Record
from loadtest.run.target import client

Pixels = NDArray[np.uint8]

ERODED_PX = 2
EDGE_PX = 3
WAIT_S = 120


@dataclass
class Compared:
    """What the comparison found. `wrong`: one sentence per picture that failed."""

    pictures: int = 0
    one_to_one: int = 0
    batched_alone_differ: float = 0.0
    """Largest difference of a pixel to the lone picture, in 255ths."""
    wrong: list[str] = field(default_factory=list)


def compare_sample(plan: Job, sample: Sequence[Record]) -> Compared:
    """Check every shot of the sample; each is painted once more, alone. A server that has gone makes them wrong."""
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
    alone = again.json()["images"]
    for (url, sha256), lone in zip(record["pictures"], alone, strict=True):
        data = _bytes(http, url)
        compared.pictures += 1
        if hashlib.sha256(data).hexdigest() != sha256:
            compared.wrong.append(f"{url}: the stored picture is not the one that was received")
        picture, solo = _image(data, "RGB"), _pixels(http, lone["url"], "RGB")
        difference = np.abs(picture.astype(np.int16) - solo)
        compared.batched_alone_differ = max(compared.batched_alone_differ, float(difference.max()))
        if why := scene_wrong(difference):
            compared.wrong.append(f"{url}: {why}")
        if product_wrong(http, record["photo"], request, picture, compared):
            compared.wrong.append(f"{url}: the product's pixels are not the photo's")


def scene_wrong(difference: NDArray[np.int16]) -> str:
    """Empty when `difference` (HxWx3, 255ths) is within api.md's bound, else a sentence."""
    highest, mean = int(difference.max()), float(difference.mean())
    if highest <= 1 or (mean <= 0.5 and float((difference <= 2).all(-1).mean()) >= 0.999):
        return ""
    return f"differs from the lone picture by {highest}/255 at most and {mean:.2f}/255 on average"


def product_wrong(
    http: httpx.Client, photo_id: str, request: dict[str, Any], picture: Pixels, compared: Compared
) -> bool:
    """Whether a 1:1 product's pixels differ from the photo's; False for a scaled one, which the lone picture covers."""
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
    found = origin(cutout, photo, inside)
    if found is None:
        return True
    x, y = found
    here = np.s_[y : y + height, x : x + width]
    shown = picture[placed.top : placed.top + height, placed.left : placed.left + width]
    return digest(shown, inside[here]) != digest(photo[here], inside[here])


def origin(cutout: Pixels, photo: Pixels, inside: NDArray[np.bool_]) -> tuple[int, int] | None:
    """Where in the photo a cutout begins (x, y): where its pixels are the photo's in all of `inside`; None for nowhere.

    Its soft edge reaches EDGE_PX beyond the mask at most, and the mask inside lies ERODED_PX deeper than the mask.
    """
    height, width = cutout.shape[:2]
    rows, columns = np.nonzero(inside)
    left, top = int(columns.min()), int(rows.min())
    for y in range(max(0, top - ERODED_PX - EDGE_PX), top + 1):
        for x in range(max(0, left - ERODED_PX - EDGE_PX), left + 1):
            here = np.s_[y : y + height, x : x + width]
            if photo[here].shape[:2] != (height, width) or inside[here].sum() != inside.sum():
                continue
            if np.array_equal(cutout[..., :3][inside[here]], photo[here][inside[here]]):
                return x, y
    return None


def eroded(mask: Pixels) -> NDArray[np.bool_]:
    """A mask less ERODED_PX on every side."""
    kept = Image.fromarray((mask > 127).astype(np.uint8) * 255).filter(ImageFilter.MinFilter(2 * ERODED_PX + 1))
    return np.asarray(kept) > 127


def digest(pixels: Pixels, inside: NDArray[np.bool_]) -> str:
    """A checksum of the pixels inside."""
    return hashlib.sha256(pixels[inside].tobytes()).hexdigest()


def _bytes(http: httpx.Client, url: str) -> bytes:
    answer = http.get(url)
    answer.raise_for_status()
    return answer.content


def _pixels(http: httpx.Client, url: str, mode: str) -> Pixels:
    return _image(_bytes(http, url), mode)


def _image(data: bytes, mode: str) -> Pixels:
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        return np.asarray(image.convert(mode))
