"""Reviews over HTTP: decisions, the gate, redo by reason, and share links."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from packshot.client import Client, MarkIn, ReviewIn
from packshot.contract.verdict import Verdict
from packshot.errors import PreconditionFailed
from packshot.imaging.codec import encode_png
from packshot.store.records import NewImage
from tests.api_graph import Api, code_of
from tests.specs import recipe_of

MARKS = [
    {"kind": "rect", "points": [[0.1, 0.2], [0.5, 0.6]]},
    {"kind": "pen", "points": [[0.1, 0.1], [0.2, 0.2], [0.3, 0.1]]},
    {"kind": "point", "points": [[1.0, 0.0]]},
]


@pytest.fixture
def image(api: Api) -> dict[str, Any]:
    """A finished picture of a painted shot."""
    picture: dict[str, Any] = api.finish(api.shot(prompt="on marble", sku="MUG-1"))["images"][0]
    return picture


def decided(api: Api, image: dict[str, Any], state: str, tag: str | None = None, **more: Any) -> Any:
    headers = {"if-match": tag} if tag else {}
    return api.http.post(f"{image['url']}/reviews", json={"state": state, **more}, headers=headers)


def test_a_decision_with_reason_marks_and_note_stands_in_the_log_with_who_and_when(
    api: Api, image: dict[str, Any]
) -> None:
    before = api.http.get(f"{image['url']}.json")
    assert (before.json()["review_state"], before.headers["etag"]) == ("draft", '"0-draft"')
    answer = decided(
        api,
        image,
        "changes_requested",
        '"0-draft"',
        reason="floating",
        note="it hovers",
        marks=MARKS,
        reviewer="Ada",
    )
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert (body["review"], body["review_state"], body["review_reason"], body["note"]) == (
        "rejected",
        "changes_requested",
        "floating",
        "it hovers",
    )
    log = api.http.get(f"{image['url']}/reviews")
    assert log.headers["etag"] == answer.headers["etag"] == '"1-changes_requested"'
    (line,) = log.json()["reviews"]
    assert (line["number"], line["by"], line["reviewer"], line["marks"]) == (1, f"key {api.key_id}", "Ada", MARKS)
    assert code_of(api.stranger.get(f"{image['url']}/reviews")) == (404, "not_found")
    assert code_of(api.stranger.post(f"{image['url']}/reviews", json={"state": "approved"})) == (404, "not_found")


def test_the_second_of_two_reviewers_gets_the_first_one_s_state(api: Api, image: dict[str, Any]) -> None:
    assert decided(api, image, "approved", '"0-draft"').status_code == 201
    late = decided(api, image, "changes_requested", '"0-draft"', reason="light")
    assert (late.status_code, late.headers["etag"]) == (412, '"1-approved"')
    assert (late.json()["code"], late.json()["state"]) == ("version_changed", "approved")
    assert (
        api.http.patch(image["url"], json={"review": "rejected"}, headers={"if-match": '"0-draft"'}).status_code == 412
    )
    assert decided(api, image, "in_review", late.headers["etag"]).json()["review_state"] == "in_review"
    assert decided(api, image, "approved", "*").status_code == 201
    assert code_of(decided(api, image, "approved", "W/x")) == (422, "invalid_request")


def test_the_short_form_of_a_review_maps_to_states_and_is_logged(api: Api, image: dict[str, Any]) -> None:
    states = [
        api.http.patch(image["url"], json={"review": review}).json()["review_state"]
        for review in ("approved", "rejected", None)
    ]
    assert states == ["approved", "changes_requested", "in_review"]
    log = api.http.get(f"{image['url']}/reviews").json()["reviews"]
    assert [(line["state"], line["reason"]) for line in log] == [
        ("approved", None),
        ("changes_requested", "other"),
        ("in_review", None),
    ]


@pytest.mark.parametrize(
    "body",
    [
        {"state": "draft"},
        {"state": "changes_requested"},
        {"state": "approved", "reason": "light"},
        {"state": "changes_requested", "reason": "ugly"},
        {"state": "approved", "marks": [{"kind": "rect", "points": [[0.1, 0.2]]}]},
        {"state": "approved", "marks": [{"kind": "point", "points": [[0.1, 1.2]]}]},
        {"state": "approved", "marks": [MARKS[2]] * 51},
        {"state": "approved", "note": "n" * 2001},
        {"state": "approved", "note": "\x00"},
        {"state": "approved", "reviewer": ""},
    ],
    ids=str,
)
def test_a_review_that_cannot_be_meant_is_refused(api: Api, image: dict[str, Any], body: dict[str, Any]) -> None:
    assert code_of(api.http.post(f"{image['url']}/reviews", json=body)) == (422, "invalid_request")
    assert api.http.get(f"{image['url']}/reviews").json()["reviews"] == []


def test_what_needs_approval_leaves_only_approved_and_the_working_copy_stays(api: Api) -> None:
    image = api.finish(api.shot(background="white"))["images"][0]
    ways = {
        "preset": ("GET", f"{image['url']}?preset=etsy", None),
        "signed": ("GET", f"{image['url']}?redirect=1", None),
        "deliveries": ("POST", f"{image['url']}/deliveries", {"deliver": [{"preset": "etsy"}]}),
    }

    def statuses() -> dict[str, int]:
        return {
            name: api.http.request(method, url, json=body).status_code for name, (method, url, body) in ways.items()
        }

    assert set(statuses().values()) == {200}
    delivered = api.http.post(ways["deliveries"][1], json=ways["deliveries"][2]).json()["deliveries"][0]["url"]
    api.store.tenants.set_require_approval(api.tenant_id, True)
    try:
        for method, url, body in [*ways.values(), ("GET", delivered, None)]:
            assert code_of(api.http.request(method, url, json=body)) == (409, "not_approved"), url
        assert api.http.get(image["url"]).status_code == 200
        assert api.http.get(f"{image['url']}/thumbnail").status_code == 200
        assert decided(api, image, "approved").status_code == 201
        assert set(statuses().values()) == {200}
        assert api.http.get(delivered).status_code == 200
    finally:
        api.store.tenants.set_require_approval(api.tenant_id, False)


def test_a_redo_by_reason_is_a_shot_whose_picture_supersedes_the_old_one(api: Api, image: dict[str, Any]) -> None:
    decided(api, image, "changes_requested", reason="hallucination")
    answer = api.http.post(f"{image['url']}/redo", json={})
    assert answer.status_code == 202, answer.text
    made = answer.json()
    assert answer.headers["location"] == made["url"]
    old = api.http.get(f"{image['url']}.json").json()["recipe"]["request"]
    new = made["request"]
    assert (new["images"], new["control_end"], made["sku"]) == (1, 1.0, "MUG-1")
    assert new["control_scale"] > old["control_scale"]
    assert new["seed"] != old["seed"]
    assert "extra objects" in new["negative_prompt"]
    assert api.http.post(f"{image['url']}/redo", json={}).json()["id"] == made["id"], "the same redo is one shot"
    second = api.finish(made["id"])["images"][0]
    assert (second["version"], second["review_state"]) == (2, "in_review")
    assert api.http.get(f"{second['url']}.json").json()["supersedes"] == image["id"]
    assert api.http.get(f"{image['url']}.json").json()["superseded_by"] == second["id"]
    again = api.http.post(f"{image['url']}/redo", json={"reason": "light"})
    assert code_of(again) == (409, "superseded")
    assert code_of(api.http.post(f"{second['url']}/redo", json={"reason": "scale"})) == (422, "redo_needs_change")
    assert code_of(api.stranger.post(f"{second['url']}/redo", json={})) == (404, "not_found")


def test_the_python_client_decides_redoes_and_is_told_the_present_state(api: Api, image: dict[str, Any]) -> None:
    with Client(api.url, api.key) as client:
        seen = client.reviews(image["id"])
        wish = ReviewIn(state="changes_requested", reason="light", marks=[MarkIn(kind="point", points=[(0.5, 0.5)])])
        assert client.decide(image["id"], wish, if_match=seen.etag).review_state == "changes_requested"
        with pytest.raises(PreconditionFailed) as late:
            client.decide(image["id"], ReviewIn(state="approved"), if_match=seen.etag)
        assert (late.value.code, late.value.state, late.value.etag) == (
            "version_changed",
            "changes_requested",
            '"1-changes_requested"',
        )
        assert client.redo(image["id"]).request.images == 1


def large(api: Api) -> dict[str, Any]:
    """A finished picture of 1,600 x 1,200 px."""
    claim = api.claim(api.shot(prompt="large", sku="MUG-2"))
    png = encode_png(np.zeros((1200, 1600, 3), np.uint8))
    recipe = recipe_of(claim.spec.seed, claim.spec)
    new = NewImage(index=0, seed=claim.spec.seed, width=1600, height=1200, png=png, verdict=Verdict(), recipe=recipe)
    (picture,) = api.store.queue.commit(claim, [new]).images
    return {"id": picture.id, "url": f"/v1/images/{picture.id}"}


def test_a_share_link_shows_small_copies_and_takes_comments_and_nothing_else(api: Api, image: dict[str, Any]) -> None:
    shared, other = large(api), image
    made = api.http.post("/v1/shares", json={"image_ids": [shared["id"]], "name": "Spring"}).json()
    token = made["url"].partition("#")[2]
    visitor = {"authorization": f"Bearer {token}"}
    seen = api.anyone.get("/v1/share", headers=visitor).json()
    assert (seen["name"], [one["id"] for one in seen["images"]], seen["images"][0]["sku"]) == (
        "Spring",
        [shared["id"]],
        "MUG-2",
    )
    copy = api.anyone.get(seen["images"][0]["url"], headers=visitor)
    assert Image.open(io.BytesIO(copy.content)).size == (1024, 768)
    assert copy.headers["cache-control"] == "private, no-cache"
    comment = {"reviewer": "Grace", "note": "more room above", "marks": MARKS}
    sent = api.anyone.post(f"{seen['images'][0]['url']}/comments", json=comment, headers=visitor)
    assert sent.status_code == 201, sent.text
    assert api.anyone.get("/v1/share", headers=visitor).json()["images"][0]["comments"] == [sent.json()]
    (line,) = api.http.get(f"{shared['url']}/reviews").json()["reviews"]
    assert (line["by"], line["reviewer"], line["state"]) == (f"share {made['id']}", "Grace", None)
    for url in (f"/v1/share/images/{other['id']}", "/v1/share/images/im_x"):
        assert code_of(api.anyone.get(url, headers=visitor)) == (404, "not_found")
    for method, url in (
        ("GET", shared["url"]),
        ("GET", f"{shared['url']}.json"),
        ("POST", f"{shared['url']}/reviews"),
        ("GET", "/v1/shots"),
        ("GET", "/v1/shares"),
        ("POST", "/v1/session"),
    ):
        assert code_of(api.anyone.request(method, url, headers=visitor)) == (401, "unauthorized"), url
    assert code_of(api.stranger.delete(f"/v1/shares/{made['id']}")) == (404, "not_found")
    (listed,) = [one for one in api.http.get("/v1/shares").json()["shares"] if one["id"] == made["id"]]
    assert "url" not in listed
    assert api.http.delete(f"/v1/shares/{made['id']}").status_code == 204
    for url in ("/v1/share", seen["images"][0]["url"]):
        assert code_of(api.anyone.get(url, headers=visitor)) == (401, "unauthorized")


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({"image_ids": [], "name": "x"}, (422, "invalid_request")),
        ({"image_ids": ["im_x"], "name": "x"}, (404, "not_found")),
        ({"image_ids": ["im_x"], "name": "x", "days": 91}, (422, "invalid_request")),
        ({"image_ids": ["im_x"], "name": "x", "days": 0}, (422, "invalid_request")),
    ],
)
def test_a_share_link_that_cannot_be_made_is_refused(api: Api, body: dict[str, Any], refusal: tuple[int, str]) -> None:
    assert code_of(api.http.post("/v1/shares", json=body)) == refusal
