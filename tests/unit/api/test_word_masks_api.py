"""Words find the product: masks with `text` and `not_text`, what the answer says about them, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from packshot.client import Client
from packshot.types import Detection
from tests.api_graph import Api, code_of
from tests.unit.api.test_photo_masks_api import cut_photo

MUG, SECOND, SAUCER = (
    Detection((20, 10, 60, 50), 0.9),
    Detection((70, 10, 110, 50), 0.6),
    Detection((60, 60, 119, 89), 0.7),
)


@pytest.fixture(autouse=True)
def _shown(api: Api) -> Iterator[None]:
    api.graph.shown = {"mug": (SECOND, MUG), "vessel": (MUG, SAUCER), "saucer": (SAUCER,), "lamp": ()}
    yield
    api.graph.shown, api.graph.finds_words, api.graph.broken = {}, True, None


def find(api: Api, **body: Any) -> dict[str, Any]:
    answer = api.http.post(f"{api.photo()['url']}/masks", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["server-timing"].startswith("find;dur=")
    found: dict[str, Any] = answer.json()
    assert [mask["id"] for mask in found["masks"]] == [box["mask_id"] for box in found["found"]["boxes"]]
    return found


def test_each_product_that_words_name_has_a_mask_best_first(api: Api) -> None:
    answer = find(api, text="red mug")
    assert [(mask["source"], mask["bbox"]) for mask in answer["masks"]] == [
        ("text", [20, 10, 60, 50]),
        ("text", [70, 10, 110, 50]),
    ]
    assert [(box["box"], box["score"]) for box in answer["found"]["boxes"]] == [
        ([20, 10, 60, 50], 0.9),
        ([70, 10, 110, 50], 0.6),
    ]
    assert answer["found"]["words"] == {"known": ["mug"], "unknown": ["red"]}
    assert [note["code"] for note in answer["found"]["notes"]] == ["words_ignored", "several_found"]
    described = api.http.get(f"/v1/masks/{answer['masks'][0]['id']}.json").json()
    assert described["source"] == "text"


def test_boxes_and_points_say_which_product_is_meant(api: Api) -> None:
    assert [mask["bbox"][0] for mask in find(api, text="mug", boxes=[[65, 0, 120, 60]])["masks"]] == [70]
    assert [mask["bbox"][0] for mask in find(api, text="mug", points=[{"x": 30, "y": 20}])["masks"]] == [20]
    (only,) = find(api, text="mug", multimask=False)["masks"]
    assert only["bbox"] == [20, 10, 60, 50]


def test_what_it_is_not_is_left_out(api: Api) -> None:
    assert len(find(api, text="vessel")["masks"]) == 2
    assert [mask["bbox"][0] for mask in find(api, text="vessel", not_text="saucer")["masks"]] == [20]


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ({"text": "lamp"}, "not_found", "nothing in the photo is 'lamp'; use other words"),
        ({"text": "lamp", "not_text": "mug"}, "not_found", "'lamp' and not 'mug'"),
        ({"text": "mug", "boxes": [[0, 60, 20, 80]]}, "not_found", "where the box or the points say"),
        ({"text": "白色杯子"}, "no_known_word", "must name a product that the detector knows, got '白色杯子'"),
        ({"text": "x" * 200}, "no_known_word", f"{'x' * 79}…"),
    ],
)
def test_nothing_found_is_an_answer_that_says_why(api: Api, body: dict[str, Any], code: str, words: str) -> None:
    answer = find(api, **body)
    assert (answer["masks"], answer["found"]["boxes"]) == ([], [])
    (note,) = answer["found"]["notes"]
    assert note["code"] == code
    assert words in note["detail"]


@pytest.mark.parametrize(
    ("body", "where", "words"),
    [
        ({"text": ""}, ["text"], "must have a word"),
        ({"text": " \u3000"}, ["text"], "must have a word"),
        ({"text": "mug " * 500}, ["text"], "at most 200 characters"),
        ({"text": "mug", "not_text": "a" * 201}, ["not_text"], "at most 200 characters"),
        ({"not_text": "saucer"}, ["not_text"], "must come with text"),
        ({"text": "mug", "not_text": " "}, ["not_text"], "must have a word"),
        ({"text": "White  mug", "not_text": "white mug "}, ["not_text"], "must differ from text"),
        ({"text": "mug", "base_mask_id": "mk_1"}, ["text"], "must not come with strokes or base_mask_id"),
        (
            {"text": "mug", "strokes": [{"mode": "add", "radius_px": 3, "points": [[1, 1]]}]},
            ["text"],
            "must not come with strokes",
        ),
        ({"text": 7}, ["text"], "string"),
    ],
)
def test_words_that_say_nothing_are_refused(api: Api, body: dict[str, Any], where: list[str], words: str) -> None:
    answer = api.http.post(f"{api.photo()['url']}/masks", json=body)
    assert code_of(answer) == (422, "invalid_request")
    (error,) = answer.json()["errors"]
    assert error["loc"] == where
    assert words in error["msg"]


def test_marks_outside_the_photo_are_refused_with_words_too(api: Api) -> None:
    answer = api.http.post(f"{api.photo()['url']}/masks", json={"text": "mug", "boxes": [[0, 0, 500, 10]]})
    assert code_of(answer) == (422, "box_invalid")


def test_a_server_without_a_detector_says_so(api: Api) -> None:
    assert api.http.get("/v1/engines").json()["finds_words"] is True
    api.graph.finds_words = False
    answer = api.http.post(f"{api.photo()['url']}/masks", json={"text": "mug"})
    assert code_of(answer) == (422, "not_served")
    assert "points or a box" in answer.json()["detail"]
    assert api.http.get("/v1/engines").json()["finds_words"] is False
    assert code_of(api.http.get("/v1/words", params={"text": "mug"})) == (422, "not_served")
    body = {"name": "x", "defaults": {"find": "mug"}, "items": [{"sku": "A", "photo": "a.jpg", "find": "cup"}]}
    planned = api.http.post("/v1/catalogues?dry_run=1", json=body).json()
    refused = [one for one in planned["problems"] if one["code"] == "not_served"]
    assert [(one.get("row"), one["column"], one["code"]) for one in refused] == [
        (None, "defaults.find", "not_served"),
        (1, "find", "not_served"),
    ]


@pytest.mark.parametrize(
    ("text", "known", "unknown", "codes"),
    [
        ("red mug", ["mug"], ["red"], ["words_ignored"]),
        ("mug", ["mug"], [], []),
        ("giraffe", [], ["giraffe"], ["no_known_word"]),
        ("白色杯子", [], ["白色杯子"], ["no_known_word"]),
    ],
)
def test_words_are_read_before_anything_is_looked_for(
    api: Api, text: str, known: list[str], unknown: list[str], codes: list[str]
) -> None:
    answer = api.http.get("/v1/words", params={"text": text}).json()
    assert answer["words"] == {"known": known, "unknown": unknown}
    assert [note["code"] for note in answer["notes"]] == codes
    with Client(api.url, key=api.key) as client:
        assert list(client.read_words(text).words.unknown) == unknown


@pytest.mark.parametrize("text", ["", " \u3000", "mug " * 51])
def test_words_that_cannot_be_a_search_are_refused(api: Api, text: str) -> None:
    assert code_of(api.http.get("/v1/words", params={"text": text})) == (422, "invalid_request")


def test_a_dry_run_warns_of_words_that_the_detector_ignores(api: Api) -> None:
    """They refuse nothing: a row whose words find nothing is skipped when the catalogue runs."""
    photo = api.photo()["id"]
    items = [
        {"sku": "A", "photo": photo, "find": "red mug"},
        {"sku": "B", "photo": photo, "find": "mug"},
        {"sku": "C", "photo": photo, "find": "giraffe"},
    ]
    axis = {"name": "scene", "values": {"marble": "on marble"}}
    body = {"name": "x", "defaults": {"find": "giraffe"}, "items": items, "axes": [axis]}
    planned = api.http.post("/v1/catalogues?dry_run=1", json=body).json()
    assert (planned["ok"], planned["problems"]) == (True, [])
    found = [one for one in planned["warnings"] if one["code"] in ("words_ignored", "no_known_word")]
    assert [(one.get("row"), one.get("sku"), one["column"], one["code"]) for one in found] == [
        (None, None, "defaults.find", "no_known_word"),
        (1, "A", "find", "words_ignored"),
        (3, "C", "find", "no_known_word"),
    ]
    assert found[1]["rule"] == "unknown words were ignored: red"
    assert all(one["remedy"].startswith("Name its kind") for one in found)


def test_an_upload_that_is_cut_out_keeps_its_own_alpha(api: Api) -> None:
    photo, _ = cut_photo(api, shade=3)
    own = api.http.post(f"{photo['url']}/masks", json={}).json()["masks"][0]
    x0, y0, x1, y1 = own["bbox"]
    api.graph.shown = {"mug": (Detection((x0 - 2, y0, x1, y1 + 3), 0.8), Detection((x0, y0, x1, y1 - 8), 0.6), SAUCER)}
    answer = api.http.post(f"{photo['url']}/masks", json={"text": "mug"}).json()
    assert [mask["source"] for mask in answer["masks"]] == ["alpha", "text"]
    assert answer["masks"][0] == own
    assert [box["score"] for box in answer["found"]["boxes"]] == [0.8, 0.7]


def test_the_client_finds(api: Api) -> None:
    with Client(api.url, key=api.key) as client:
        answer = client.find(api.photo()["id"], "vessel", not_text="saucer", boxes=[(0, 0, 120, 90)])
        assert answer.found is not None
        assert [box.score for box in answer.found.boxes] == [0.9]
        assert answer.masks[0].source == "text"
        assert client.masks(api.photo()["id"], boxes=[(20, 20, 80, 60)])[0].source == "box"
