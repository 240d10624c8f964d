"""Adapters and styles of a catalogue's rows and axes: what a row's shots have, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from packshot.catalogue.costs import costs_of
from packshot.catalogue.rows import item_of
from packshot.catalogue.shooting import shots_to_accept
from packshot.contract.shot_spec import ShotSpec
from tests.api_graph import ENGINES, Api, code_of
from tests.unit.api.test_adapters_api import added

RED, BLUE, SAND = {"palette": ["#aa2211"]}, {"palette": ["#2233aa"]}, {"palette": ["#ccbb99"]}
SECOND = ENGINES[1]


def manifest(api: Api, *items: dict[str, Any], axis: dict[str, Any] | None = None, **defaults: Any) -> dict[str, Any]:
    values = {"marble": "on marble", "linen": "on linen"}
    return {
        "name": "looks",
        "defaults": {"engine": "second", **defaults},
        "axes": [{"name": "scene", "values": values, **(axis or {})}],
        "items": [{"photo": api.photo()["id"], **item} for item in items],
    }


def drafted(api: Api, sent: dict[str, Any]) -> str:
    answer = api.http.post("/v1/catalogues", json=sent)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def specs(api: Api, catalogue_id: str) -> dict[tuple[str, str], ShotSpec]:
    """The shots that the catalogue's rows would ask for, by SKU and scene."""
    record = api.store.catalogues.get(api.tenant_id, catalogue_id)
    mask = api.store.masks.get(api.tenant_id, api.mask()["id"])
    rows, _ = api.store.catalogues.rows(api.tenant_id, catalogue_id)
    found: dict[tuple[str, str], ShotSpec] = {}
    for row in rows:
        ready = replace(row, masks=(mask.id,))
        for one in shots_to_accept(record, ready, {mask.id: mask}, ENGINES, costs_of(SECOND, [])[0], api.settings):
            found[item_of(row.item or "").sku, one.scene] = one.spec
    return found


def used(spec: ShotSpec) -> tuple[list[tuple[str, float]], tuple[str, ...]]:
    """The adapters of a shot, and the palette of its style."""
    assert all(len(one.sha256) == 64 for one in spec.adapters)
    return [(one.id, one.scale) for one in spec.adapters], spec.style.palette if spec.style else ()


def test_a_row_has_its_own_look_else_its_scenes_else_the_defaults(api: Api) -> None:
    general, scenes, own = (added(api)["id"] for _ in range(3))
    axis = {"adapters": {"linen": [{"id": scenes, "scale": 0.5}]}, "styles": {"linen": BLUE}}
    rows = (
        {"sku": "PLAIN"},
        {"sku": "OWN", "adapters": [{"id": own, "scale": -1}], "style": SAND},
        {"sku": "NONE", "adapters": []},
    )
    sent = manifest(api, *rows, axis=axis, adapters=[{"id": general}], style=RED)
    dry = api.http.post("/v1/catalogues?dry_run=1", json=sent).json()
    assert dry["problems"] == []
    catalogue_id = drafted(api, sent)
    found = {key: used(spec) for key, spec in specs(api, catalogue_id).items()}
    assert found == {
        ("PLAIN", "marble"): ([(general, 1.0)], ("#aa2211",)),
        ("PLAIN", "linen"): ([(scenes, 0.5)], ("#2233aa",)),
        ("OWN", "marble"): ([(own, -1.0)], ("#ccbb99",)),
        ("OWN", "linen"): ([(own, -1.0)], ("#ccbb99",)),
        ("NONE", "marble"): ([], ("#aa2211",)),
        ("NONE", "linen"): ([], ("#2233aa",)),
    }
    for one in (general, scenes, own):
        assert code_of(api.http.delete(f"/v1/adapters/{one}")) == (409, "in_use")
    api.http.post(f"/v1/catalogues/{catalogue_id}/cancel")
    assert api.http.delete(f"/v1/adapters/{own}").status_code == 204


def test_a_stored_style_gives_its_adapters_to_the_row_that_names_it(api: Api) -> None:
    adapter = added(api)["id"]
    body = {"name": f"kit {adapter}", "palette": ["#2233aa"], "adapters": [{"id": adapter, "scale": 0.7}]}
    style = api.http.post("/v1/styles", json=body)
    assert style.status_code == 201, style.text
    kit = {"style_id": style.json()["id"]}
    rows = ({"sku": "KIT", "style": kit}, {"sku": "BARE", "style": kit, "adapters": []}, {"sku": "REST"})
    found = specs(api, drafted(api, manifest(api, *rows)))
    assert used(found["KIT", "marble"]) == ([(adapter, 0.7)], ("#2233aa",))
    assert used(found["BARE", "marble"]) == ([], ("#2233aa",))
    assert used(found["REST", "marble"]) == ([], ())


def test_a_sheet_names_adapters_and_a_style(api: Api) -> None:
    adapter, photo = added(api)["id"], api.photo()["id"]
    style = api.http.post("/v1/styles", json={"name": f"sheet {adapter}", "palette": ["#2233aa"]}).json()["id"]
    text = f"sku,photo,adapters,style\nA,{photo},{adapter}:0.8,{style}\nB,{photo},{adapter}:much,\nC,{photo},,st_none\n"
    files = {
        "sheet": ("s.csv", text),
        "look": ("l.yaml", "name: s\ndefaults: {engine: second}\naxes: [{name: scene, values: {m: on marble}}]"),
    }
    dry = api.http.post("/v1/catalogues?dry_run=1", files=files).json()
    assert [(row["row"], row["column"], row["code"]) for row in dry["problems"]] == [
        (3, "adapters", "invalid_request"),
        (4, "style", "not_found"),
    ]
    made = api.http.post("/v1/catalogues?on_problem=skip", files=files)
    assert made.status_code == 201, made.text
    assert used(specs(api, made.json()["id"])["A", "m"]) == ([(adapter, 0.8)], ("#2233aa",))


@pytest.mark.parametrize(
    ("row", "axis", "defaults", "told"),
    [
        ({"adapters": [{"id": "ad_none"}]}, {}, {}, (1, "adapters", "not_found")),
        ({"adapters": [{"id": "ad_none"}]}, {}, {"engine": "mini"}, (1, "adapters", "engine_cannot")),
        ({"adapters": [{"id": "ad_x", "scale": 3}]}, {}, {}, (1, "adapters.0.scale", "invalid_request")),
        ({"style": {"style_id": "st_none"}}, {}, {}, (1, "style", "not_found")),
        ({"style": {"palette": ["red"]}}, {}, {}, (1, "style.palette.0", "invalid_request")),
        ({}, {"adapters": {"linen": [{"id": "ad_none"}]}}, {}, (None, "axes.scene.adapters.linen", "not_found")),
        ({}, {"styles": {"linen": {"style_id": "st_none"}}}, {}, (None, "axes.scene.styles.linen", "not_found")),
        ({}, {"styles": {"velvet": RED}}, {}, (None, "axes.0", "invalid_request")),
    ],
)
def test_what_a_row_or_an_axis_cannot_have_is_a_problem_of_its_own(
    api: Api, row: dict[str, Any], axis: dict[str, Any], defaults: dict[str, Any], told: tuple[int | None, str, str]
) -> None:
    dry = api.http.post("/v1/catalogues?dry_run=1", json=manifest(api, {"sku": "A", **row}, axis=axis, **defaults))
    assert dry.status_code == 200, dry.text
    assert [(one.get("row"), one["column"], one["code"]) for one in dry.json()["problems"]] == [told]


def test_axes_together_keep_the_engines_limit_and_a_row_needs_a_scene(api: Api) -> None:
    one = added(api)["id"]
    sent = manifest(api, {"sku": "A"}, axis={"adapters": {"linen": [{"id": one}]}})
    sent["axes"].append(
        {"name": "season", "values": {"spring": ""}, "adapters": {"spring": [{"id": one, "scale": 0.5}]}}
    )
    (problem,) = api.http.post("/v1/catalogues?dry_run=1", json=sent).json()["problems"]
    assert (problem["column"], problem["rule"]) == (
        "axes.linen-spring",
        "a scene may have an adapter once over all its axes",
    )
    plain = manifest(api, {"sku": "A", "style": RED}) | {"axes": [], "deliver": [{"preset": "ebay", "scene": "white"}]}
    (problem,) = api.http.post("/v1/catalogues?dry_run=1", json=plain).json()["problems"]
    assert (problem["column"], problem["rule"]) == (
        "style",
        "a row's style needs painted scenes, and this manifest has none",
    )


def test_a_sheets_query_gives_its_scenes_a_style_and_adapters(api: Api) -> None:
    adapter, photo = added(api)["id"], api.photo()["id"]
    style = api.http.post("/v1/styles", json={"name": f"query {adapter}", "palette": ["#2233aa"]}).json()["id"]
    asked = {"name": "s", "scene": "m=on marble", "style": style, "adapter": f"{adapter}:0.5"}
    sheet = {"content": f"sku,photo\nA,{photo}\n", "headers": {"content-type": "text/csv"}}
    made = api.http.post("/v1/catalogues", params=asked, **sheet)  # type: ignore[arg-type]
    assert [row["code"] for row in made.json()["problems"]] == ["engine_cannot"], "the default engine takes none"
    text = f"sku,photo\nA,{photo}\n"
    files = {"sheet": ("s.csv", text), "look": ("l.yaml", "name: s\ndefaults: {engine: second}\n")}
    made = api.http.post("/v1/catalogues", params=asked, files=files)
    assert made.status_code == 201, made.text
    assert used(specs(api, made.json()["id"])["A", "m"]) == ([(adapter, 0.5)], ("#2233aa",))
    wrong = api.http.post("/v1/catalogues", params=asked | {"adapter": f"{adapter}:much"}, files=files)
    assert code_of(wrong) == (422, "bad_usage")
