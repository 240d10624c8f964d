"""A running laptop cluster with the coffee photo uploaded, from which the rows over HTTP start."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import skimage.data

from bench.demo import CUP_AND_SAUCER_BOX_XYXY
from cluster.local import serving
from cluster.profiles import load_profile
from packshot.imaging.codec import encode_png
from packshot.settings import Settings


@dataclass(frozen=True)
class Session:
    """An HTTP client of the cluster, the cluster's settings, and the ids of one photo and one mask."""

    http: httpx.Client
    settings: Settings
    photo_id: str
    mask_id: str


@contextmanager
def session() -> Iterator[Session]:
    """Serve the laptop profile on loopback with open access and a temporary home folder."""
    with tempfile.TemporaryDirectory() as home:
        overrides = {"PACKSHOT_HOME": home, "PACKSHOT_OPEN_ACCESS": "true"}
        with (
            serving(load_profile("laptop"), port=0, settings=overrides) as url,
            httpx.Client(base_url=url, timeout=120) as http,
        ):
            photo = post(
                http, "/v1/photos", files={"file": ("coffee.png", encode_png(skimage.data.coffee()), "image/png")}
            )
            click = {"boxes": [CUP_AND_SAUCER_BOX_XYXY]}
            mask = post(http, f"/v1/photos/{photo['id']}/masks", json=click)["masks"][0]
            yield Session(http, Settings(home=Path(home), open_access=True), photo["id"], mask["id"])


def post(http: httpx.Client, path: str, **options: Any) -> dict[str, Any]:
    """Send a POST that must succeed, and return its JSON. Raises httpx.HTTPStatusError otherwise."""
    answer = http.post(path, **options)
    answer.raise_for_status()
    body: dict[str, Any] = answer.json()
    return body
