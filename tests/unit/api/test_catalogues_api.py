"""Catalogues over HTTP: the dry run, what it refuses, drafts, photos, changes of the state."""

from __future__ import annotations

import csv
import io
import json
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from packshot.contract.engines import EngineCapabilities
from tests.api_graph import ENGINES, Api, code_of, jpeg, png

SCENES = {"name": "scene", "values": {"marble": "on marble", "linen": "on linen"}}
DELIVER = [{"preset": "shopify", "name": "{sku}-{scene}-{n:02}.{ext}"}]
FRAME: dict[str, Any] = {"name": "spring", "axes": [SCENES], "deliver": DELIVER}
HEAD = "name: spring\naxes: [{name: scene, values: {marble: on marble}}]\n"
YAML, CSV = {"content-type": "application/yaml"}, {"content-type": "text/csv"}


def manifest(*items: dict[str, Any], **frame: Any) -> dict[str, Any]:
    return {**FRAME, "items": list(items) or [{"sku": "A", "photo": "a.jpg"}], **frame}


def draft(api: Api, *items: dict[str, Any], **frame: Any) -> dict[str, Any]:
    answer = api.http.post("/v1/catalogues", json=manifest(*items, **frame))
    assert answer.status_code == 201, answer.text
    return answer.json()


def put(api: Api, catalogue_id: str, path: str, data: bytes) -> httpx.Response:
    return api.http.put(f"/v1/catalogues/{catalogue_id}/photos", params={"path": path}, content=data)


def sheet(text: str, *scenes: str, **params: Any) -> dict[str, Any]:
    """Arguments of a request with a CSV sheet."""
    return {"content": text.encode(), "headers": CSV, "params": {"scene": list(scenes) or ["m=on marble"], **params}}


def yaml(text: str) -> dict[str, Any]:
    return {"content": text.encode(), "headers": YAML}


ITEM = "items: [{sku: A, photo: a.jpg}]\n"
FOUR_AXES = [{"name": f"a{n}", "values": {f"v{k}": "" for k in range(4)}} for n in range(4)]
ZIPPED = [{**SCENES, "combine": "zip"}, {"name": "size", "values": {"s": ""}, "combine": "zip"}]
UNREADABLE: dict[str, tuple[dict[str, Any], str]] = {
    "YAML alias": (yaml(f"{HEAD}budget: &b {{images: 1}}\nseeds: *b\n{ITEM}"), "anchors"),
    "YAML tag": (yaml(f"{HEAD}seeds: !!python/object:os.system {{}}\n{ITEM}"), "tags"),
    "YAML key twice": (yaml(f"{HEAD}name: again\n{ITEM}"), "a key once"),
    "YAML nested deep": (yaml(f"{HEAD}seeds: {'[' * 500}{']' * 500}\n{ITEM}"), "levels deep"),
    "JSON field twice": (
        {"content": b'{"name": "a", "name": "b", "items": []}', "headers": {"content-type": "application/json"}},
        "a field once",
    ),
    "50,001 rows": (sheet("sku,photo\n" + "1,a\n" * 50_001), "at most 50000 rows"),
    "not UTF-8": (
        {"content": "sku,photo\nM\xfcnze,a\n".encode("latin-1"), "headers": CSV, "params": {"scene": "m=on marble"}},
        "must be UTF-8",
    ),
}
REFUSED: dict[str, tuple[dict[str, Any], tuple[int | None, str, str]]] = {
    "too many combinations": ({"json": manifest(axes=FOUR_AXES)}, (None, "axes", "axes_too_large")),
    "zipped axes of unequal length": ({"json": manifest(axes=ZIPPED)}, (None, "axes", "invalid_request")),
    "formula": (sheet("sku,photo,meta.title\nA,a.jpg,=HYPERLINK(1)\n"), (2, "meta.title", "invalid_request")),
    "formula as a SKU": ({"json": manifest({"sku": "=1+1", "photo": "a"})}, (1, "sku", "invalid_request")),
    "SKU twice": (sheet("sku,photo\nA,a.jpg\na,b.jpg\n"), (3, "sku", "invalid_request")),
    "GTIN as a float": (sheet("sku,photo,meta.gtin\nA,a.jpg,4.00638E+12\n"), (2, "meta.gtin", "invalid_request")),
    "wrong check digit": (sheet("sku,photo,meta.gtin\nA,a.jpg,4006381333930\n"), (2, "meta.gtin", "gtin_invalid")),
    "path that leaves": (sheet("sku,photo\nA,../../etc/passwd\n"), (2, "photo", "invalid_request")),
    "own name that leaves": (
        {"json": manifest({"sku": "../x", "photo": "a.jpg"})},
        (1, "deliver.0.name", "filename_invalid"),
    ),
    "metadata service as a photo": (
        sheet("sku,photo\nA,http://169.254.169.254/latest/meta-data\n"),
        (2, "photo", "invalid_request"),
    ),
    "file of the server as a photo": (sheet("sku,photo\nA,file:///etc/passwd\n"), (2, "photo", "invalid_request")),
    "route to the metadata service": (
        {"json": manifest(deliver=[{**DELIVER[0], "to": "http://169.254.169.254/x"}])},
        (None, "deliver.0.to", "invalid_request"),
    ),
    "route that leaves": (
        {"json": manifest(deliver=[{**DELIVER[0], "to": "../out"}])},
        (None, "deliver.0.to", "invalid_request"),
    ),
    "photo of nobody": (sheet("sku,photo\nA,ph_gone\n"), (2, "photo", "photo_missing")),
    "budget of nothing": ({"json": manifest(budget={"images": 0})}, (None, "budget.images", "invalid_request")),
    "unknown field in a template": (
        {"json": manifest(deliver=[{"preset": "shopify", "name": "{sku.__class__}.{ext}"}])},
        (None, "deliver.0.name", "template_invalid"),
    ),
    "unknown engine": ({"json": manifest(defaults={"engine": "none"})}, (None, "defaults.engine", "unknown_engine")),
    "too many steps": ({"json": manifest(defaults={"steps": 1000})}, (None, "defaults.steps", "invalid_request")),
    "sampler that the engine lacks": (
        {"json": manifest(defaults={"sampler": "euler"})},
        (None, "defaults.sampler", "engine_cannot"),
    ),
    "condition that the engine lacks": (
        {"json": manifest(defaults={"conditions": [{"kind": "depth"}]})},
        (None, "defaults.conditions", "engine_cannot"),
    ),
    "condition beyond the engine's limit": (
        {"json": manifest(defaults={"engine": "second", "conditions": [{"kind": "depth", "scale": 3}]})},
        (None, "defaults.conditions.0.scale", "invalid_request"),
    ),
    "style of nobody": (
        {"json": manifest(defaults={"style": {"style_id": "st_none"}})},
        (None, "defaults.style", "not_found"),
    ),
    "style without scenes": (
        {"json": manifest(axes=[], defaults={"style": {"palette": ["#aabbcc"]}})},
        (None, "defaults.style", "style_refused"),
    ),
    "part that the engine lacks": (
        {"json": manifest(defaults={"style": {"references": [{"photo_id": "ph_none"}], "parts": ["scene"]}})},
        (None, "defaults.style", "not_found"),
    ),
    "adapter that the engine does not take": (
        {"json": manifest(defaults={"adapters": [{"id": "ad_none"}]})},
        (None, "defaults.adapters", "engine_cannot"),
    ),
    "control characters in a scene": (
        {"json": manifest(axes=[{"name": "scene", "values": {"m": "on\u202emarble"}}])},
        (None, "axes.m", "prompt_invalid"),
    ),
}


def test_a_dry_run_refuses_what_the_engine_cannot_honour(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine without guidance, negative prompts and edges: each is a problem of the manifest, before any shot."""
    bare = EngineCapabilities(controls=(), negative_prompt=False, guidance=False)
    engine = api.graph.engines()[0].model_copy(update={"capabilities": bare})
    monkeypatch.setattr(api.graph, "engines", lambda: (engine,))
    look = {"negative_prompt": "text", "guidance_scale": 4.0, "conditions": [{"kind": "canny"}]}
    for defaults, refused in ((look, True), ({"guidance_scale": engine.defaults.guidance_scale}, False)):
        answer = api.http.post("/v1/catalogues?dry_run=1", json=manifest(defaults=defaults)).json()
        found = [(one["column"], one["code"]) for one in answer["problems"]]
        assert found == ([(f"defaults.{name}", "engine_cannot") for name in look] if refused else [])


def test_a_dry_run_warns_of_photos_that_are_too_small_for_a_channel(api: Api) -> None:
    photo_id = api.photo()["id"]  # 120 x 90 px
    rows = {"sku": "A", "photo": photo_id}, {"sku": "B", "photo": "b.jpg"}
    frame = {"defaults": {"canvas": [1024, 1024]}, "deliver": [{"preset": "shopify"}]}
    made = api.http.post("/v1/catalogues?dry_run=1", json=manifest(*rows, **frame)).json()
    assert made["ok"], made["problems"]
    [warning] = made["warnings"]
    assert (warning["row"], warning["column"], warning["value"]) == (1, "photo", "120x90 px")
    assert "at least" in warning["rule"]


@pytest.mark.parametrize("find", ["", " \u3000", "mug " * 500])
def test_words_of_a_row_that_cannot_be_a_search_are_a_problem(api: Api, find: str) -> None:
    answer = api.http.post("/v1/catalogues?dry_run=1", json=manifest({"sku": "A", "photo": "a.jpg", "find": find}))
    found = [(one.get("row"), one["column"], one["code"]) for one in answer.json()["problems"]]
    assert found == [(1, "find", "invalid_request")]


@pytest.mark.parametrize("what", UNREADABLE)
def test_bytes_that_are_no_manifest_are_refused(api: Api, what: str) -> None:
    request, words = UNREADABLE[what]
    answer = api.http.post("/v1/catalogues", **{**request, "params": {**request.get("params", {}), "dry_run": "1"}})
    assert code_of(answer) == (422, "manifest_unreadable")
    assert words in answer.json()["detail"]


@pytest.mark.parametrize("what", REFUSED)
def test_a_dry_run_tells_every_problem_by_row_and_column_and_stores_nothing(api: Api, what: str) -> None:
    request, expected = REFUSED[what]
    before = api.http.get("/v1/catalogues").json()
    dry = api.http.post("/v1/catalogues", **{**request, "params": {**request.get("params", {}), "dry_run": "1"}})
    assert dry.status_code == 200, dry.text
    found = dry.json()
    assert not found["ok"]
    assert expected in [(one.get("row"), one["column"], one["code"]) for one in found["problems"]], found["problems"]
    assert all(one["rule"] and one["remedy"] for one in found["problems"])
    made = api.http.post("/v1/catalogues", **request)
    assert code_of(made) == (422, "manifest_refused")
    assert made.json()["problems"] == found["problems"]
    assert api.http.get("/v1/catalogues").json() == before


def test_a_sheet_as_spreadsheets_write_it_is_planned(api: Api) -> None:
    """A byte-order mark, semicolons, Excel's quotes and umlauts; the scenes and presets come from the query."""
    text = '\ufeffsku;photo;meta.title\r\nB01-ROT;photos/m\u00fcnze.jpg;"Ring ""Gro\u00df"""\r\n'
    params = {"dry_run": "true", "preset": ["shopify", "amazon-main=white"], "name": "Fr\u00fchling"}
    found = api.http.post("/v1/catalogues", **sheet(text, "marble=on marble", "linen=on linen", **params)).json()
    assert (found["ok"], found["rows"], found["shots"], found["deliveries"]) == (True, 1, 3, 3)
    assert found["budget"] == {"images": None, "device_s": None, "exceeded": False}
    assert found["device_s"] > 0
    assert found["ends_at"] > "2026"


def test_a_sheet_and_its_look_come_as_a_form(api: Api) -> None:
    look = b"name: spring\naxes: [{name: scene, values: {marble: on marble}}]\nbudget: {images: 1}\n"
    files = {"sheet": ("s.csv", b"sku,photo\nA,a.jpg\nB,b.jpg\n"), "look": ("look.yaml", look)}
    found = api.http.post("/v1/catalogues?dry_run=1", files=files).json()
    assert (found["ok"], found["rows"], found["budget"]["exceeded"]) == (True, 2, True)
    assert code_of(api.http.post("/v1/catalogues?dry_run=1", files={"sheet": files["sheet"]})) == (
        422,
        "invalid_request",
    )


def test_the_files_at_hand_tell_missing_photos_and_small_ones_before_any_is_sent(api: Api) -> None:
    text = "sku,photo,mask\nA,./a.jpg,\nB,gone.jpg,\nC,c.heic,m.png\n"
    at_hand = json.dumps({"a.jpg": [200, 150], "c.heic": None, "beside.txt": None})
    query = {"dry_run": "1", "scene": "m=on marble", "preset": "amazon-main=white"}
    files = {"sheet": text.encode(), "photos": at_hand.encode()}
    found = api.http.post("/v1/catalogues", params=query, files=files).json()
    problems = [(one["row"], one["column"], one["code"]) for one in found["problems"]]
    assert problems == [(3, "photo", "photo_missing"), (4, "mask", "photo_missing")]
    [warning] = [one for one in found["warnings"] if one["row"] is not None]
    assert (warning["row"], warning["value"]) == (2, "200x150 px")
    whole = {"manifest": json.dumps(manifest({"sku": "A", "photo": "a.jpg"})).encode(), "photos": b"{}"}
    told = api.http.post("/v1/catalogues?dry_run=1", files=whole).json()["problems"]
    assert [one["code"] for one in told] == ["photo_missing"]
    flow = b"{name: spring, axes: [{name: scene, values: {marble: on marble}}], items: [{sku: A, photo: a.jpg}]}"
    yaml_part = {"manifest": ("m", flow, "application/yaml"), "photos": ("p", at_hand.encode(), "application/json")}
    assert api.http.post("/v1/catalogues?dry_run=1", files=yaml_part).json()["problems"] == []
    for wrong in (b"[]", b'{"a.jpg": [0, 5]}', b'{"a.jpg": 5}'):
        refused = api.http.post("/v1/catalogues?dry_run=1", files={**files, "photos": wrong})
        assert code_of(refused) == (422, "invalid_request")


def test_all_problems_come_as_a_table_without_formulas(api: Api) -> None:
    text = "sku,photo\n" + "".join(f"A{n},=cmd|{n}\n" for n in range(600))
    answer = api.http.post("/v1/catalogues", **sheet(text, dry_run="1"))
    assert (len(answer.json()["problems"]), answer.json()["problems_total"]) == (1000, 600 * 2)
    table = api.http.post("/v1/catalogues", **sheet(text, dry_run="1", problems="csv"))
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert len(rows) == 600 * 2
    assert rows[0]["column"] == "photo"
    assert rows[0]["value"] == "'=cmd|0"


def test_rows_with_problems_are_skipped_when_asked_for(api: Api) -> None:
    items = [{"sku": "A", "photo": "a.jpg"}, {"sku": "B", "photo": "../b.jpg"}]
    made = api.http.post("/v1/catalogues?on_problem=skip", json=manifest(*items)).json()
    assert (made["rows"], made["counts"]["waiting"], made["counts"]["skipped"]) == (2, 1, 1)
    assert made["missing_photos"] == [{"path": "a.jpg", "kind": "photo", "rows": [1]}]
    [row] = api.http.get(f"{made['url']}/rows?state=skipped").json()["rows"]
    assert (row["row"], row["sku"], row["code"]) == (2, "B", "invalid_request")
    whole = api.http.post("/v1/catalogues?on_problem=skip", json=manifest(deliver=[{"preset": "amazn"}]))
    assert code_of(whole) == (422, "manifest_refused")  # a problem of the frame has no row to skip


def test_a_draft_starts_when_its_photos_are_there(api: Api) -> None:
    items = [{"sku": "A", "photo": "a.png"}, {"sku": "B", "photo": "./a.png", "mask": "m.png"}]
    made = draft(api, *items)
    url = made["url"]
    assert made["missing_photos"] == [
        {"path": "a.png", "kind": "photo", "rows": [1, 2]},
        {"path": "m.png", "kind": "mask", "rows": [2]},
    ]
    refused = api.http.post(f"{url}/start")
    assert code_of(refused) == (409, "photos_missing")
    first = put(api, made["id"], "a.png", png(shade=7))
    assert first.json() == {"path": "a.png", "stored": True, "photo_id": first.json()["photo_id"]}
    assert put(api, made["id"], "a.png", png(shade=7)).json()["stored"] is False
    assert put(api, made["id"], "m.png", png()).json() == {"path": "m.png", "stored": True}
    assert code_of(put(api, made["id"], "other.png", png())) == (404, "not_found")
    started = api.http.post(f"{url}/start")
    assert (started.status_code, started.json()["state"]) == (202, "running")
    assert "missing_photos" not in started.json()
    again = api.http.post(f"{url}/start")
    assert (again.status_code, again.headers["etag"]) == (202, started.headers["etag"])


def test_a_corrupt_photo_fails_its_rows_and_a_sound_one_mends_it(api: Api) -> None:
    made = draft(api, {"sku": "A", "photo": "a.jpg"}, {"sku": "B", "photo": "b.jpg"})
    assert code_of(put(api, made["id"], "a.jpg", jpeg()[:200])) == (422, "photo_unreadable")
    assert code_of(put(api, made["id"], "b.jpg", b"")) == (422, "photo_empty")
    assert api.http.get(made["url"]).json()["missing_photos"] == []  # it can start; the rows will say why they failed
    assert put(api, made["id"], "a.jpg", jpeg()).json()["stored"] is True


def test_a_photo_that_was_uploaded_before_is_not_sent_again(api: Api) -> None:
    made = draft(api)
    known = api.photo()
    url = f"{made['url']}/photos"
    linked = api.http.put(url, params={"path": "a.jpg", "sha256": known["sha256"]})
    assert linked.json() == {"path": "a.jpg", "stored": True, "photo_id": known["id"]}
    assert code_of(api.http.put(url, params={"path": "a.jpg", "sha256": "0" * 64})) == (404, "not_found")
    assert code_of(api.http.put(url, params={"path": "a.jpg", "sha256": "x"})) == (422, "invalid_request")


def zipped(**files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(f"spring/{name}", data)
    return out.getvalue()


def send_zip(api: Api, catalogue_id: str, data: bytes) -> httpx.Response:
    headers = {"content-type": "application/zip"}
    return api.http.post(f"/v1/catalogues/{catalogue_id}/photos.zip", content=data, headers=headers)


def test_photos_come_in_an_archive(api: Api) -> None:
    made = draft(api, *({"sku": name, "photo": f"{name}.png"} for name in "abcd"))
    files = {"a.png": png(shade=1), "b.png": png(shade=2)[:500], "x.txt": b"notes"}
    answer = send_zip(api, made["id"], zipped(**files)).json()
    assert (answer["stored"], answer["unused"], answer["missing_photos_total"]) == (1, ["x.txt"], 2)
    assert [(one["path"], one["code"]) for one in answer["refused"]] == [("b.png", "photo_unreadable")]
    rest = send_zip(api, made["id"], zipped(**files, **{"c.png": png(shade=3), "d.png": png(shade=4)})).json()
    assert (rest["stored"], rest["missing_photos_total"]) == (2, 0)


def test_an_archive_that_attacks_is_refused(api: Api) -> None:
    made = draft(api)
    bomb = send_zip(api, made["id"], zipped(**{"a.jpg": bytes(2 * 1024 * 1024)}))
    assert code_of(bomb) == (413, "body_too_large")  # larger than a photo may be, though it is 2 KB here
    escape = io.BytesIO()
    with zipfile.ZipFile(escape, "w") as archive:
        archive.writestr("../a.jpg", jpeg())
    assert code_of(send_zip(api, made["id"], escape.getvalue())) == (422, "zip_refused")
    assert code_of(send_zip(api, made["id"], b"no archive")) == (422, "zip_refused")
    assert api.http.get(made["url"]).json()["missing_photos_total"] == 1


def test_changes_go_one_way_and_an_old_version_is_refused(api: Api) -> None:
    made = draft(api)
    url = made["url"]
    put(api, made["id"], "a.jpg", jpeg())
    assert code_of(api.http.post(f"{url}/resume")) == (409, "catalogue_state")
    draft_tag = api.http.get(url).headers["etag"]
    started = api.http.post(f"{url}/start", headers={"if-match": draft_tag})
    assert started.status_code == 202
    stale = api.http.post(f"{url}/pause", headers={"if-match": draft_tag})
    assert code_of(stale) == (412, "version_changed")
    assert stale.json()["state"] == "running"
    assert code_of(api.http.post(f"{url}/pause", headers={"if-match": "x"})) == (422, "invalid_request")
    paused = api.http.post(f"{url}/pause", headers={"if-match": started.headers["etag"]}).json()
    assert (paused["state"], paused["pause_reason"]) == ("paused", "person")
    tag = api.http.get(url).headers["etag"]
    barrier = threading.Barrier(2)

    def resume(_: int) -> httpx.Response:
        barrier.wait()
        return api.http.post(f"{url}/resume", headers={"if-match": tag})

    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(resume, range(2)))
    assert sorted(answer.status_code for answer in answers) == [202, 412]  # one of two resumes at once
    assert api.http.post(f"{url}/cancel").json()["state"] == "cancelled"
    [row] = api.http.get(f"{url}/rows").json()["rows"]
    assert (row["state"], row["code"]) == ("skipped", "cancelled")
    assert code_of(api.http.post(f"{url}/start")) == (409, "catalogue_state")
    assert code_of(api.http.post(f"{url}/retry")) == (409, "catalogue_state")


def test_catalogues_of_another_tenant_do_not_exist(api: Api) -> None:
    made = draft(api)
    mine, theirs = api.photo(), f"/v1/catalogues/{made['id']}"
    assert made["id"] not in api.stranger.get("/v1/catalogues").text
    calls = [
        ("GET", ""),
        ("GET", "/rows"),
        ("GET", "/manifest.csv"),
        ("GET", "/archive.zip"),
        ("GET", "/feeds/shopify?published_at=https://a.example/"),
        ("PUT", "/photos?path=a.jpg"),
        ("POST", "/photos.zip"),
        *(("POST", f"/{change}") for change in ("start", "pause", "resume", "cancel", "retry")),
    ]
    for method, path in calls:
        answer = api.stranger.request(method, f"{theirs}{path}", content=b"x" if method != "GET" else None)
        assert code_of(answer) == (404, "not_found"), path
    other = api.stranger.post("/v1/catalogues", json=manifest({"sku": "A", "photo": mine["id"]}))
    assert [one["code"] for one in other.json()["problems"]] == ["photo_missing"]
    assert api.http.get(made["url"]).json()["state"] == "draft"


def test_a_manifest_of_another_type_or_over_the_limit_is_refused(api: Api) -> None:
    text = api.http.post("/v1/catalogues", content=b"x", headers={"content-type": "text/plain"})
    assert code_of(text) == (415, "body_type")
    for named in ("multipart/form-data", "`look`", "`photos` with a `sheet` or a `manifest`"):
        assert named in text.json()["detail"]
    assert code_of(api.http.post("/v1/catalogues", content=bytes(600 * 1024), headers=YAML)) == (413, "body_too_large")
    answer = api.http.post("/v1/catalogues?scene=a=b", json=manifest())
    assert code_of(answer) == (422, "invalid_request")


def test_a_catalogue_of_a_paid_engine_needs_a_budget_and_costs_its_price(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid = ENGINES[0].model_copy(update={"recipe": "remote", "price_device_s": 60.0})
    monkeypatch.setattr(api.graph, "engines", lambda: (paid,))
    asked: dict[str, Any] = {"json": manifest(), "params": {"dry_run": "1"}}
    refused = api.http.post("/v1/catalogues", **asked).json()
    assert [(one["column"], one["code"]) for one in refused["problems"]] == [("defaults.engine", "budget_needed")]
    api.store.budgets.set(api.key_id, {"images_per_day": 1_000})
    try:
        dry = api.http.post("/v1/catalogues", **asked).json()
        assert dry["ok"], dry["problems"]
        assert dry["device_s"] == 60.0 * dry["pictures"]
    finally:
        api.store.budgets.set(api.key_id, {})
