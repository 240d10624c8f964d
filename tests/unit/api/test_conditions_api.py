"""The conditions of a shot: what is stored of them, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from packshot.contract.engines import EngineInfo
from packshot.contract.requests import ShotRequest
from packshot.contract.shot_spec import Canvas, Condition, ShotSpec
from tests.api_graph import ENGINES, Api, code_of
from tests.specs import spec_of

CANNY = Condition(scale=0.9)
DEPTH = {"kind": "depth", "scale": 0.6, "start": 0.1, "end": 0.8}


def stored(api: Api, **fields: Any) -> ShotSpec:
    return api.store.shots.get(api.tenant_id, api.shot(engine="second", **fields)).spec


@pytest.mark.parametrize(
    ("fields", "conditions"),
    [
        ({}, (CANNY,)),
        ({"control_scale": 0.3}, (Condition(scale=0.3),)),
        ({"conditions": [{"kind": "canny", "scale": 0.3, "end": 0.5}]}, (Condition(scale=0.3, end=0.5),)),
        ({"conditions": [DEPTH]}, (CANNY, Condition(kind="depth", scale=0.6, start=0.1, end=0.8))),
        (
            {"conditions": [{"kind": "normal"}, {"kind": "depth"}], "control_scale": 0.0},
            (Condition(scale=0.0), Condition(kind="depth", scale=0.9), Condition(kind="normal", scale=0.9)),
        ),
    ],
)
def test_a_shot_has_the_edges_and_the_conditions_that_it_names(
    api: Api, fields: dict[str, Any], conditions: tuple[Condition, ...]
) -> None:
    """Each with the engine's own weight where none is given, in one order."""
    assert stored(api, **fields).conditions == conditions


def test_the_answer_tells_the_conditions_besides_the_edges(api: Api) -> None:
    plain = api.http.post("/v1/shots", json=api.request(engine="second")).json()
    assert "conditions" not in plain["request"]
    shot = api.http.post("/v1/shots", json=api.request(engine="second", conditions=[DEPTH])).json()
    assert shot["request"]["conditions"] == [DEPTH]
    assert shot["request"]["control_scale"] == 0.9


def test_the_stored_form_is_a_request_that_earlier_code_reads() -> None:
    """The edges stay in control_*, so code that knows no list ignores it, and its own rows have none."""
    plain = spec_of("mk_1")
    assert "conditions" not in plain.to_json()
    spec = spec_of("mk_1", canvas=Canvas(64, 64), conditions=(CANNY, Condition(kind="depth", scale=0.5, end=0.4)))
    written = spec.to_json()
    assert ShotSpec.from_json(written) == spec
    assert ShotRequest.model_validate(written).conditions[0].kind == "depth"
    older = {name: value for name, value in written.items() if name != "conditions"}
    assert ShotSpec.from_json(older).conditions == (CANNY,)


def test_engines_list_the_conditions_that_they_take(api: Api) -> None:
    engines = {one["name"]: one["capabilities"]["controls"] for one in api.http.get("/v1/engines").json()["engines"]}
    assert engines == {"mini": ["canny"], "second": ["canny", "depth", "normal"]}


@pytest.mark.parametrize("kind", ["segmentation", "pose"])
def test_a_condition_that_the_engine_lacks_is_refused_with_the_capability(api: Api, kind: str) -> None:
    answer = api.http.post("/v1/shots", json=api.request(engine="second", conditions=[DEPTH, {"kind": kind}]))
    assert code_of(answer) == (422, "engine_cannot")
    problem = answer.json()
    assert problem["errors"][0]["loc"] == ["conditions", 1, "kind"]
    assert f"capabilities.controls (canny, depth, normal), got {kind}; leave it out" in problem["detail"]


@pytest.fixture
def posing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second engine takes poses too."""

    def engines() -> tuple[EngineInfo, ...]:
        first, second = ENGINES
        able = second.capabilities.model_copy(update={"controls": ("canny", "depth", "pose")})
        return first, second.model_copy(update={"capabilities": able})

    monkeypatch.setattr(api.graph, "engines", engines)


SEEN = [[0.5, 0.1], [0.5, 0.2], *[None] * 16]


@pytest.mark.parametrize(
    ("conditions", "told"),
    [
        ([{"kind": "depth", "people": [SEEN]}], "conditions.0.people are for the kind pose, got 1 for depth"),
        ([{"kind": "pose"}], "conditions.0.people must hold 1 to 8 people for the kind pose, got none; send the 18"),
        ([{"kind": "pose", "people": [SEEN, [None] * 18]}], "must show two points of each person, got 0; leave"),
        ([{"kind": "pose", "people": [SEEN[:17]]}], "conditions.0.people.0"),
        ([{"kind": "pose", "people": [[[2, 0.1], *SEEN[1:]]]}], "conditions.0.people.0.0"),
        ([{"kind": "pose", "people": [SEEN] * 9}], "conditions.0.people"),
    ],
)
def test_a_pose_has_people_and_nothing_else_has(
    api: Api, posing: None, conditions: list[dict[str, Any]], told: str
) -> None:
    answer = api.http.post("/v1/shots", json=api.request(engine="second", conditions=conditions))
    assert code_of(answer) == (422, "invalid_request")
    assert told in answer.json()["detail"]


def test_the_people_of_a_pose_are_stored_and_told(api: Api, posing: None) -> None:
    pose = {"kind": "pose", "scale": 0.7, "start": 0.0, "end": 0.5, "people": [SEEN]}
    shot = api.http.post("/v1/shots", json=api.request(engine="second", conditions=[pose])).json()
    assert shot["request"]["conditions"] == [pose]
    [stored_pose] = api.store.shots.get(api.tenant_id, shot["id"]).spec.further_conditions
    assert stored_pose.people == (((0.5, 0.1), (0.5, 0.2), *[None] * 16),)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"conditions": [DEPTH, DEPTH]}, "may name a kind once, got depth 2 times; keep one"),
        ({"conditions": [{"kind": "canny"}], "control_scale": 0.5}, "canny beside control_scale"),
        ({"conditions": [{"kind": "depth", "scale": 2.5}]}, "conditions.0.scale must be at most 2, got 2.5"),
        ({"conditions": [{"kind": "depth", "start": 0.9, "end": 0.2}]}, "conditions.0.start must not be after end"),
        ({"conditions": [{"kind": "depth", "scale": -1}]}, "conditions.0.scale"),
        ({"conditions": [{"kind": "depth", "start": 1.5}]}, "conditions.0.start"),
        ({"conditions": [{"kind": "edges"}]}, "conditions.0.kind"),
        ({"conditions": [{"scale": 1.0}]}, "conditions.0.kind"),
        ({"conditions": [{"kind": "depth", "weight": 1}]}, "conditions.0.weight"),
        ({"conditions": {"kind": "depth"}}, "conditions"),
        ({"conditions": [{"kind": "depth"}] * 6}, "conditions"),
    ],
)
def test_conditions_out_of_bounds_are_refused_and_say_where(api: Api, fields: dict[str, Any], told: str) -> None:
    answer = api.http.post("/v1/shots", json=api.request(engine="second", **fields))
    assert code_of(answer) == (422, "invalid_request")
    assert told in answer.json()["detail"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_weight_that_is_no_number_is_no_json(api: Api, number: str) -> None:
    layers = api.request()["layers"][0]["mask_id"]
    body = f'{{"layers": [{{"mask_id": "{layers}"}}], "conditions": [{{"kind": "depth", "scale": {number}}}]}}'
    answer = api.http.post("/v1/shots", content=body, headers={"content-type": "application/json"})
    assert code_of(answer) == (422, "invalid_json")
