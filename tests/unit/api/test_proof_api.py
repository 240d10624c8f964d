"""`proof` through the API: stored with its words, refused when it contradicts itself or its master does not exist."""

from __future__ import annotations

import pytest

from packshot.contract.shot_spec import ShotSpec
from tests.api_graph import Api, code_of


def test_a_shot_keeps_its_proof_and_old_code_sees_nothing_of_a_shot_without_one(api: Api) -> None:
    shot_id = api.shot(proof={"must_read": ["30 ml"]})
    stored = api.http.get(f"/v1/shots/{shot_id}").json()["request"]
    assert stored["proof"] == {"text": True, "must_read": ["30 ml"], "master": None}
    spec = api.claim(shot_id).spec
    assert ShotSpec.from_json(spec.to_json()) == spec
    assert api.shot(**stored) != shot_id
    for none in (None, {"text": False}):
        assert "proof" not in api.http.get(f"/v1/shots/{api.shot(proof=none)}").json()["request"]


@pytest.mark.parametrize(
    ("proof", "code"),
    [
        ({"text": False, "must_read": ["30 ml"]}, "invalid_request"),
        ({"must_read": ["--"]}, "invalid_request"),
        ({"must_read": ["30 ml"] * 21}, "invalid_request"),
        ({"must_read": ["30\u202eml"]}, "invalid_request"),
        ({"words": []}, "invalid_request"),
        ({"master": "ph_0123456789abcdefghij"}, "not_found"),
    ],
)
def test_a_proof_that_cannot_be_is_refused(api: Api, proof: dict[str, object], code: str) -> None:
    answer = api.http.post("/v1/shots", json=api.request(proof=proof))
    assert code_of(answer) == (404 if code == "not_found" else 422, code)
