"""Shadows, tints, regions and products that nobody can mean: each is refused with its rule, and names the place."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from packshot.imaging.codec import encode_png
from tests.api_graph import Api, code_of

SIDE = 96
CAST = {"mode": "cast"}


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"shadow": CAST | {"direction_deg": 1e9}}, "direction_deg"),
        ({"shadow": CAST | {"direction_deg": "left"}}, "direction_deg"),
        ({"shadow": CAST | {"length": -1}}, "length"),
        ({"shadow": CAST | {"softness": 1.5}}, "softness"),
        ({"shadow": CAST | {"tint": "dusk"}}, "tint"),
        ({"shadow": CAST | {"tint": "#12345"}}, "tint"),
        ({"shadow": CAST | {"blur": 1}}, "blur"),
        ({"shadow": "long"}, "shadow"),
        ({"reflection": {"strength": 2}}, "strength"),
    ],
)
def test_a_light_out_of_bounds_is_refused_and_says_where(api: Api, fields: dict[str, Any], place: str) -> None:
    answer = api.http.post("/v1/shots", json=api.request(**fields))
    assert code_of(answer) == (422, "invalid_request")
    assert place in answer.json()["detail"]


@pytest.mark.parametrize("field", ["softness", "direction_deg", "intensity"])
def test_a_light_that_is_no_number_is_no_json(api: Api, field: str) -> None:
    mask = api.request()["layers"][0]["mask_id"]
    body = f'{{"layers": [{{"mask_id": "{mask}"}}], "shadow": {{"mode": "cast", "{field}": NaN}}}}'
    answer = api.http.post("/v1/shots", content=body, headers={"content-type": "application/json"})
    assert code_of(answer) == (422, "invalid_json")


def test_a_region_of_the_whole_product_is_refused_and_names_the_remedy(api: Api) -> None:
    image = api.finish(api.shot(canvas={"width": SIDE, "height": SIDE}))["images"][0]
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[SIDE // 2 - 6 : SIDE // 2 + 6, SIDE // 2 - 6 : SIDE // 2 + 6] = 255  # well inside of the product
    body = {"mask": base64.b64encode(encode_png(mask)).decode()}
    answer = api.http.post(f"/v1/images/{image['id']}/touchups", json=body)
    assert code_of(answer) == (422, "region_product")
    assert "paint beside it, or send product: true" in answer.json()["detail"]
