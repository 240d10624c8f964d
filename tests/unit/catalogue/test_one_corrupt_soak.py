"""One corrupt photo among many: every other row is delivered, and the one is told with its reason."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from pathlib import Path

import numpy as np
import pytest

from graphs.one_process import serving_in_process
from packshot.client import Client, ManifestFile
from packshot.errors import BadInput
from packshot.imaging.codec import encode_png
from packshot.settings import Settings

ROWS = 1_000
SIDE_PX = 520
LOOK = """
name: one corrupt
defaults: {canvas: [512, 512]}
deliver: [{preset: ebay, scene: white, name: "{sku}.{ext}", to: "TO"}]
items:
"""


def cut_out(n: int) -> bytes:
    """A photo that is already cut out, a PNG: a bottle whose shape and colour are those of the number `n`."""
    y, x = np.mgrid[0:SIDE_PX, 0:SIDE_PX].astype(np.float32) / SIDE_PX - 0.5
    half = np.where(y < -0.2, 0.05 + 0.02 * (n % 3), 0.12 + 0.04 * (n % 5) / 5)
    alpha = np.clip((half - abs(x)) * SIDE_PX, 0, 1) * np.clip((0.42 - abs(y)) * SIDE_PX, 0, 1)
    light = 0.6 + 0.4 * np.cos(6 * (x - 0.05))
    colour = np.array([60 + n % 160, 60 + n // 5 % 160, 60 + n // 25 % 160], np.float32)
    pixels = np.dstack([colour * light[..., None], 255 * alpha]).astype(np.uint8)
    return encode_png(pixels, level=1)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_one_corrupt_photo_stops_no_other_row(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    rows, wrong = ROWS, ROWS // 3
    items = "".join(f'  - {{sku: "S{n:04}", photo: "S{n:04}.png"}}\n' for n in range(rows))
    manifest = ManifestFile((LOOK.replace("TO", out.as_uri()) + items).encode())
    settings = Settings(home=tmp_path / "home", open_access=True, catalogue_route_urls=out.as_uri())
    with serving_in_process(settings) as url, Client(url) as client:
        client.wait_ready()
        made = client.catalogues.create(manifest)

        def send(n: int) -> None:
            photo = cut_out(n)
            with suppress(BadInput) if n == wrong else nullcontext():
                client.catalogues.put_photo(made.id, f"S{n:04}.png", photo[: len(photo) // 2] if n == wrong else photo)

        began = time.monotonic(), time.process_time()
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(send, range(rows)))
        client.catalogues.start(made.id)
        sent_s = time.monotonic() - began[0]
        while (seen := client.catalogues.get(made.id)).state != "done":
            assert time.monotonic() - began[0] < 3_000, seen
            time.sleep(0.5)
        wall_s, processor_s = time.monotonic() - began[0], time.process_time() - began[1]
        left = [(row.sku, row.state, row.code) for row in client.catalogues.rows(made.id) if row.state != "done"]
    print(f"{rows} rows: sent in {sent_s:.0f} s, all in {wall_s:.0f} s, {processor_s / rows:.3f} processor s a row")
    assert left == [(f"S{wrong:04}", "failed", "photo_unreadable")]
    assert seen.counts.done == rows - 1
    assert sorted(file.name for file in out.iterdir()) == [f"S{n:04}.jpg" for n in range(rows) if n != wrong]
