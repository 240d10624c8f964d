"""Invalid shot requests: each is refused with a stable code, and none is stored."""

from typing import Any

import pytest

from packshot.api.accept import check_layer, check_layers_together
from packshot.contract.requests import LayerIn
from packshot.errors import BadInput
from packshot.types import BoxXYXY
from tests.api_graph import Api, code_of

INVALID: list[dict[str, Any]] = [
    {"canvas": {"width": 63, "height": 512}},
    {"canvas": {"width": 512, "height": 4097}},
    {"canvas": {"width": 512.5, "height": 512}},
    {"canvas": {"width": "512", "height": 512}},
    {"canvas": [512, 512]},
    {"steps": 0},
    {"steps": 101},
    {"steps": 10_000},
    {"steps": True},
    {"images": 0},
    {"images": 9},
    {"seed": -1},
    {"seed": 2**31},
    {"guidance_scale": -1},
    {"guidance_scale": 20.5},
    {"control_scale": 2.5},
    {"control_start": 0.9, "control_end": 0.2},
    {"control_end": 1.5},
    {"background": "blue"},
    {"background": "#12345"},
    {"background": "white\n"},
    {"shadow": "long"},
    {"priority": "urgent"},
    {"layers": []},
    {"layers": [{}]},
    {"layers": [{"mask_id": ""}]},
    {"prompt": None},
    {"prompt": ["a", "b"]},
    {"colour": "white"},
    {"negativePrompt": "text"},
]


@pytest.mark.parametrize("fields", INVALID, ids=str)
def test_a_shot_out_of_bounds_is_refused_and_says_where(api: Api, fields: dict[str, Any]) -> None:
    answer = api.http.post("/v1/shots", json=api.request(**fields))
    assert code_of(answer) == (422, "invalid_request")
    named = {str(part) for row in answer.json()["errors"] for part in row["loc"]}
    assert named & set(fields)


def test_the_extremes_are_accepted(api: Api) -> None:
    for fields in (
        {"canvas": {"width": 64, "height": 4096}},
        {"steps": 1},
        {"steps": 100},
        {"images": 8, "seed": 2**31 - 1},
    ):
        assert api.http.post("/v1/shots", json=api.request(**fields)).status_code == 202


@pytest.mark.parametrize(
    "layer",
    [
        {"scale": 0},
        {"scale": -0.5},
        {"scale": 5},
        {"x": 3},
        {"rotation_deg": 400},
        {"flip": 1},
        {"opacity": 0.5},
        {"mask_id": 7},
    ],
    ids=str,
)
def test_a_layer_out_of_bounds_is_refused(api: Api, layer: dict[str, Any]) -> None:
    request = api.request()
    request["layers"][0].update(layer)
    assert code_of(api.http.post("/v1/shots", json=request)) == (422, "invalid_request")


def test_more_layers_than_the_setting_allows_are_refused(api: Api) -> None:
    request = api.request()
    request["layers"] *= 17
    assert code_of(api.http.post("/v1/shots", json=request)) == (422, "invalid_request")


@pytest.mark.parametrize("layer", [{"x": -0.9, "scale": 0.1}, {"y": 1.8, "scale": 0.2}, {"scale": 0.0001}], ids=str)
def test_a_layer_that_would_not_show_is_refused(api: Api, layer: dict[str, float]) -> None:
    request = api.request()
    request["layers"][0].update(layer)
    assert code_of(api.http.post("/v1/shots", json=request)) == (422, "layer_outside")


def test_a_layer_that_only_its_turn_brings_in_is_accepted() -> None:
    layer = LayerIn(mask_id="m", x=-0.3, y=0.5, scale=1.0, rotation_deg=90)
    check_layer(0, layer, (0, 0, 100, 1000), (500, 500))
    with pytest.raises(BadInput, match="layer_outside"):
        check_layer(0, layer.model_copy(update={"rotation_deg": 0.0}), (0, 0, 100, 1000), (500, 500))


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(BadInput, match="mask_empty"):
        check_layer(0, LayerIn(mask_id="m"), (0, 0, 0, 0), (500, 500))


def test_a_product_of_a_few_pixels_is_refused_and_a_thin_one_taken() -> None:
    with pytest.raises(BadInput, match=r"mask_too_small.*got 3 x 3 px"):
        check_layer(0, LayerIn(mask_id="m"), (10, 10, 13, 13), (500, 500))
    check_layer(0, LayerIn(mask_id="m"), (10, 10, 26, 12), (500, 500))


@pytest.mark.parametrize(
    "prompt",
    [
        "a" * 10_000,
        "a" * 2_001,
        "bell\x07",
        "nul\x00",
        "line\nbreak",
        "right\u202eto left",
        "iso\u2066late",
        "para\u2029graph",
    ],
    ids=["10000", "2001", "bell", "nul", "newline", "rlo", "isolate", "paragraph"],
)
@pytest.mark.parametrize("field", ["prompt", "negative_prompt"])
def test_a_prompt_that_breaks_its_rules_has_a_code_of_its_own(api: Api, field: str, prompt: str) -> None:
    assert code_of(api.http.post("/v1/shots", json=api.request(**{field: prompt}))) == (422, "prompt_invalid")


def test_prompts_of_any_script_and_emoji_are_accepted(api: Api) -> None:
    prompt = "на мраморе, 大理石の上, على الرخام, 👩‍🍳 सुबह"
    assert api.http.post("/v1/shots", json=api.request(prompt=prompt)).status_code == 202


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"not json",
        b"[" * 100_000,
        b'{"layers": ' + b"[" * 300 + b"]" * 300 + b"}",
        b'{"seed": NaN}',
        b'{"guidance_scale": Infinity, "layers": [{"mask_id": "m"}]}',
        b'{"guidance_scale": 1e999, "layers": [{"mask_id": "m"}]}',
        b'{"prompt": "\xff\xfe"}',
        b'{"prompt": "\\ud800"}',
        b'{"seed": ' + b"9" * 5000,
    ],
    ids=["empty", "open", "words", "deep", "nested", "nan", "infinity", "1e999", "not-utf8", "surrogate", "digits"],
)
def test_what_is_not_json_is_refused(api: Api, body: bytes) -> None:
    answer = api.http.post("/v1/shots", content=body, headers={"content-type": "application/json"})
    assert code_of(answer) == (422, "invalid_json")


def test_unknown_engines_and_masks_have_codes(api: Api) -> None:
    assert code_of(api.http.post("/v1/shots", json=api.request(engine="huge"))) == (422, "unknown_engine")
    missing = api.http.post("/v1/shots", json={"layers": [{"mask_id": "mk_unknown"}]})
    assert code_of(missing) == (404, "not_found")
    assert code_of(api.http.post("/v1/shots", json={"layers": [{"mask_id": "../\x00"}]})) == (404, "not_found")


def test_a_mask_deleted_meanwhile_is_a_404(api: Api) -> None:
    request = api.request(layers=[{"mask_id": api.mask()["id"]}])
    api.http.delete(f"/v1/masks/{request['layers'][0]['mask_id']}")
    assert code_of(api.http.post("/v1/shots", json=request)) == (404, "not_found")


def test_no_refused_shot_is_stored(api: Api) -> None:
    before = api.store.queue.counts()
    for fields in INVALID:
        api.http.post("/v1/shots", json=api.request(**fields))
    assert api.store.queue.counts() == before


MPX_12: BoxXYXY = (0, 0, 4000, 3000)


@pytest.mark.parametrize(
    ("scale", "masks", "canvas_px", "rule"),
    [
        (0.3, 16, 4096, ""),  # a flat lay of small products
        (1.0, 1, 1024, ""),
        (1.0, 1, 4096, "together cover 67,108,864 pixels"),
        (0.3, 17, 1024, "together be cut out of 200,000,000 pixels, got 204,000,000"),
    ],
)
def test_layers_are_bounded_together(scale: float, masks: int, canvas_px: int, rule: str) -> None:
    """16 layers of one mask were cut and held 16 times: 456 MiB and 90 s. A mask counts once for what is cut."""
    layers = [LayerIn(mask_id=f"mk_{number % masks}", scale=scale) for number in range(17)]
    boxes = {f"mk_{number}": MPX_12 for number in range(masks)}
    if not rule:
        check_layers_together(layers, boxes, (canvas_px, canvas_px), 50_000_000)
        return
    with pytest.raises(BadInput, match=rule) as refused:
        check_layers_together(layers, boxes, (canvas_px, canvas_px), 50_000_000)
    assert refused.value.code == "layers_too_large"


def test_a_shot_of_too_many_large_layers_is_refused(api: Api) -> None:
    layers = [{"mask_id": api.mask()["id"], "scale": 4.0}] * 8
    answer = api.http.post("/v1/shots", json={"layers": layers, "canvas": {"width": 4096, "height": 4096}})
    assert code_of(answer) == (422, "layers_too_large")
