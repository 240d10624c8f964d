"""A catalogue through the real cluster: uploads by path, masks, a scene, a plain picture, and the rows' reasons."""

from __future__ import annotations

import io
import time
import zipfile
from typing import Any

import httpx
import numpy as np
import skimage.data

from bench.demo import CUP_AND_SAUCER_BOX_XYXY
from packshot.imaging.codec import encode_png

MANIFEST = {
    "name": "cups",
    "defaults": {"canvas": [512, 512], "steps": 2},
    "axes": [{"name": "scene", "values": {"marble": "on a marble table"}}],
    "deliver": [{"preset": "ebay", "scene": "white", "name": "{sku}-main.{ext}"}],
    "items": [
        {"sku": "CUP", "photo": "cup.png", "box": list(CUP_AND_SAUCER_BOX_XYXY)},
        {"sku": "EMPTY", "photo": "empty.png"},
        {"sku": "BROKEN", "photo": "broken.png"},
    ],
}


def test_a_catalogue_runs_from_uploads_to_files(http: httpx.Client) -> None:
    made = http.post("/v1/catalogues", json=MANIFEST)
    assert made.status_code == 201, made.text
    at = f"/v1/catalogues/{made.json()['id']}"
    photos = {
        "cup.png": encode_png(skimage.data.coffee()),
        "empty.png": encode_png(np.full((240, 320, 3), 200, np.uint8)),
        "broken.png": b"\x89PNG\r\n\x1a\n and no more",
    }
    answers = {
        path: http.put(f"{at}/photos", params={"path": path}, content=data).status_code for path, data in photos.items()
    }
    assert answers["broken.png"] == 422
    assert max(answers["cup.png"], answers["empty.png"]) < 300
    assert http.post(f"{at}/start").status_code == 202
    give_up_at = time.monotonic() + 240
    while (seen := http.get(at).json())["state"] != "done":
        assert time.monotonic() < give_up_at, seen
        time.sleep(0.2)
    rows: dict[str, Any] = {row["sku"]: row for row in http.get(f"{at}/rows").json()["rows"]}
    assert {sku: (row["state"], row.get("code")) for sku, row in rows.items()} == {
        "CUP": ("done", None),
        "EMPTY": ("skipped", "product_not_found"),
        "BROKEN": ("failed", "photo_unreadable"),
    }
    with zipfile.ZipFile(io.BytesIO(http.get(f"{at}/archive.zip").content)) as archive:
        assert [name for name in archive.namelist() if name.startswith("CUP")] == ["CUP-main.jpg"]
