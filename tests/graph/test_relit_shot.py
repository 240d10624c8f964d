"""A relit shot through the real graph: understood, painted, relit, proved and delivered with its proof."""

import io
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from PIL import Image


@pytest.mark.timeout(600)
def test_a_shot_takes_its_scenes_light_and_is_proved(
    http: httpx.Client, shot_of: Callable[..., dict[str, Any]], finished: Callable[..., list[dict[str, Any]]]
) -> None:
    shot = shot_of(relight={"amount": 0.3}, shadow={"mode": "cast", "direction_deg": 90})
    (done,) = finished([http.post("/v1/shots", json=shot).json()["id"]])
    assert done["status"] == "done", done
    (image, *_) = done["images"]
    found = {finding["check"]: finding["level"] for finding in image["verdict"]["findings"]}
    assert found["relit_lock"] == "ok"
    assert {"relight", "material"} <= set(found)
    gain = http.get(f"{image['url']}/gain")
    assert gain.status_code == 200
    assert max(Image.open(io.BytesIO(gain.content)).size) <= 128
    delivered = http.post(f"{image['url']}/deliveries", json={"deliver": [{"preset": "amazon-pt"}]})
    assert delivered.status_code == 200, delivered.text
    checks = {one["check"]: one["level"] for one in delivered.json()["deliveries"][0]["findings"]}
    assert checks["relit_lock"] == "ok"
