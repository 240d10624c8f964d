"""A pack with an upscaler through the real API: the scene is enlarged by the network, the product is the photo's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from graphs.one_process import serving_in_process
from packshot.client import Client
from packshot.imaging.codec import read_png
from packshot.settings import Settings
from tests.api_graph import png
from tests.tiny_pack import SIZE_PX, build_tiny_pack
from tests.unit.models.test_upscaler import tiny


@pytest.mark.parametrize("upscales", [True, False])
def test_a_large_canvas_is_painted_by_the_upscaler_where_the_pack_has_one(upscales: bool, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    if upscales:
        tiny(folder, "SRVGGNetCompact")
    else:
        build_tiny_pack(folder)
    settings = Settings(
        home=tmp_path / "home", pack_path=str(folder), pack="tiny", open_access=True, device="cpu", dtype="fp32"
    )
    side = 4 * SIZE_PX
    with serving_in_process(settings) as url, Client(url) as client:
        client.wait_ready(0)
        (engine,) = client.engines()
        assert engine.capabilities.upscaler is upscales
        mask = client.masks(client.upload(png()).id, boxes=[(20, 20, 80, 60)])[0]
        layer = {"mask_id": mask.id, "scale": 0.5}
        request: dict[str, Any] = {"layers": [layer], "prompt": "marble", "steps": 2, "seed": 3, "shadow": "none"}
        shots = [client.shoot(request | {"canvas": {"width": px, "height": px}}).id for px in (side, SIZE_PX)]
        list(client.events(shots))
        large, plain = (client.shot(shot) for shot in shots)
        assert (large.status, plain.status) == ("done", "done"), (large.error, plain.error)
        picture = read_png(client.download(large.images[0].url))
    findings = {one.check: one for one in large.images[0].verdict.findings}
    assert findings["lock"].level == "ok"
    assert picture.shape == (side, side, 3)
    assert "upscaler" not in {one.check for one in plain.images[0].verdict.findings}
    if upscales:
        assert findings["upscaler"].detail == "the scene was enlarged 4x by SRVGGNetCompact"
        assert findings["enlargement"].detail == "the scene was not resized"
        assert "upscaler" in (large.images[0].recipe.pack or ())
    else:
        assert findings["enlargement"].level == "warning"
        assert "the scene was enlarged 4.00x, which looks soft above 2x; use a smaller canvas" in (
            findings["enlargement"].detail
        )
