"""Conditions through the real graph: their maps and their ControlNets."""

from collections.abc import Callable
from typing import Any

import httpx

Finished = Callable[[list[str]], list[dict[str, Any]]]


def test_depth_changes_the_picture_and_edges_alone_do_not_share_its_fate(
    http: httpx.Client, shot_of: Callable[..., dict[str, Any]], finished: Finished
) -> None:
    """Shots with and without depth paint at the same time."""
    (engine,) = http.get("/v1/engines").json()["engines"]
    assert engine["capabilities"]["controls"] == ["canny", "depth"]
    wishes: list[dict[str, Any]] = [
        {},
        {"conditions": [{"kind": "depth", "scale": 1.5, "end": 0.8}]},
        {"conditions": [{"kind": "depth", "scale": 1.5}], "control_scale": 0.0},
    ]
    answers = [http.post("/v1/shots", json=shot_of(**wish)) for wish in wishes]
    shots = finished([answer.json()["id"] for answer in answers])
    assert [shot["status"] for shot in shots] == ["done"] * 3
    pictures = {http.get(shot["images"][0]["url"]).content for shot in shots}
    assert len(pictures) == 3
    for shot, wish in zip(shots, wishes, strict=True):
        image = shot["images"][0]
        assert "controlnet_depth" in image["recipe"]["pack"]
        checks = {finding["check"] for finding in image["verdict"]["findings"]}
        assert ("material" in checks) == bool(wish), "only depth needs the product's geometry"


def test_a_condition_that_the_pack_lacks_is_refused(http: httpx.Client, shot_of: Callable[..., dict[str, Any]]) -> None:
    answer = http.post("/v1/shots", json=shot_of(conditions=[{"kind": "normal"}]))
    assert (answer.status_code, answer.json()["code"]) == (422, "engine_cannot")
