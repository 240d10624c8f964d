"""`/v1/adapters`, and the `adapters` of shots, styles and catalogues."""

from __future__ import annotations

import itertools
import json
import secrets
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest

from packshot.client import AdapterChange, AdapterIn, Client, StyleChange, StyleRequest
from packshot.errors import Conflict
from packshot.models.packs.pack import find_pack
from packshot.settings import Settings
from packshot.shots.flow import brief_of
from tests.adapter_files import kohya_file, lora, peft_file, saved
from tests.api_graph import Api, code_of
from tests.cli_server import call, last_json
from tests.unit.api.test_style_api import spec_in

NUMBERS = itertools.count(1)
LORA = lora(find_pack("mini", Settings()), rank=4, layers=("attn2.to_q",))
OTHER = {
    "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_q": (
        np.ones((4, 320), np.float32),
        np.ones((320, 4), np.float32),
    )
}


def post(api: Api, data: bytes | None = None, **texts: str) -> httpx.Response:
    files = {"file": ("a.safetensors", peft_file(LORA) if data is None else data, "application/octet-stream")}
    return api.http.post("/v1/adapters", files=files, data={"name": f"Look {secrets.token_hex(4)}", **texts})


def added(api: Api, data: bytes | None = None, **texts: str) -> dict[str, Any]:
    answer = post(api, data, **texts)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def test_an_adapter_is_kept_with_what_its_file_says(api: Api) -> None:
    said = {"packshot.tag": "zxlook", "packshot.licence": "MIT", "packshot.lineage": '{"pictures": 24}'}
    said |= {"packshot.family": "mini", "packshot.base": "older mini", "packshot.base_sha256": "0" * 64}
    made = added(api, peft_file(LORA, said), licence="Apache-2.0")
    assert (made["kind"], made["family"], made["rank"], made["engine"]) == ("lora", "mini", 4, "second")
    assert (made["trigger"], made["licence"], made["trained_from"]) == ("zxlook", "Apache-2.0", '{"pictures": 24}')
    assert [note["code"] for note in made["notes"]] == ["other_base"]
    assert api.http.get(made["url"]).json() == made
    assert made["id"] in [one["id"] for one in api.http.get("/v1/adapters").json()["adapters"]]
    assert added(api, kohya_file(LORA, alpha=2.0))["rank"] == 4
    changed = api.http.patch(made["url"], json={"trigger": "", "name": "Renamed"}).json()
    assert (changed["trigger"], changed["name"], changed["sha256"]) == ("", "Renamed", made["sha256"])
    assert code_of(post(api, name="Renamed")) == (409, "name_taken")
    assert [api.stranger.request(verb, made["url"], json=body).status_code for verb, body in (
        ("GET", None), ("PATCH", {"name": "mine"}), ("DELETE", None)
    )] == [404] * 3  # fmt: skip
    assert api.http.delete(made["url"]).status_code == 204
    assert api.http.get(made["url"]).status_code == 404


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: b"\x80\x02}q\x00.", "adapter_invalid"),
        (lambda: b"", "adapter_invalid"),
        (lambda: peft_file(OTHER), "adapter_mismatch"),
        (lambda: saved({"<a>": np.ones((1, 7), np.float32)}), "adapter_mismatch"),
        (lambda: peft_file(LORA, {"packshot.family": "sdxl"}), "adapter_mismatch"),
        (lambda: saved({"emb_params": np.ones((1, 96), np.float32)}), "invalid_request"),
    ],
)
def test_what_cannot_be_an_adapter_of_the_engine_is_refused(api: Api, make: Callable[[], bytes], code: str) -> None:
    assert code_of(post(api, make())) == (422, code)


def test_a_form_out_of_bounds_is_refused(api: Api) -> None:
    for texts in ({"trigger": "two words"}, {"licence": "x" * 201}, {"trigger": "a\u202eb"}, {"more": "x"}):
        assert code_of(post(api, None, **texts)) == (422, "invalid_request")
    assert code_of(post(api, name="")) == (422, "name_invalid")
    assert code_of(post(api, engine="none")) == (422, "unknown_engine")
    assert code_of(post(api, engine="mini")) == (422, "engine_cannot")
    assert code_of(api.http.post("/v1/adapters", json={"name": "x"})) == (422, "invalid_request")
    assert code_of(api.http.post("/v1/adapters", data={"name": "x"}, files={"a": b"x"})) == (422, "invalid_request")


def asked(api: Api, *adapters: dict[str, Any], **fields: Any) -> tuple[int, str]:
    return code_of(api.http.post("/v1/shots", json=api.request(**{"engine": "second", "adapters": adapters, **fields})))


def test_a_shot_keeps_its_adapters_with_their_hashes(api: Api) -> None:
    one, two = added(api, trigger="zxa"), added(api)
    adapters = [{"id": one["id"], "scale": -0.5}, {"id": two["id"]}]
    shot_id = api.shot(engine="second", adapters=adapters)
    answer = api.http.get(f"/v1/shots/{shot_id}").json()
    assert answer["request"]["adapters"] == [
        {"id": one["id"], "scale": -0.5, "sha256": one["sha256"]},
        {"id": two["id"], "scale": 1, "sha256": two["sha256"]},
    ]
    assert code_of(api.http.delete(one["url"])) == (409, "in_use")
    done = api.finish(shot_id)
    recipe = api.http.get(f"/v1/images/{done['images'][0]['id']}.json").json()["recipe"]
    assert recipe["request"]["adapters"] == answer["request"]["adapters"]
    again = api.http.post("/v1/shots", json=recipe["request"])  # a stored request is a request
    assert again.status_code == 202, again.text
    assert (
        spec_in(api, again.json()["id"]).adapters == spec_in(api, api.shot(engine="second", adapters=adapters)).adapters
    )
    assert api.http.delete(one["url"]).status_code == 204
    assert brief_of(spec_in(api, api.shot(engine="second")), 1).adapters == ()


def test_a_shot_with_adapters_out_of_bounds_is_refused(api: Api) -> None:
    one = added(api)
    use = {"id": one["id"]}
    assert asked(api, {**use, "scale": 2.01}) == (422, "invalid_request")
    assert asked(api, {**use, "scale": -2.01}) == (422, "invalid_request")
    assert asked(api, {**use, "scale": None}) == (422, "invalid_request")
    assert asked(api, use, use) == (422, "invalid_request")
    assert asked(api, *({"id": f"ad_{number}"} for number in range(5))) == (422, "invalid_request")
    assert asked(api, use, background="white") == (422, "invalid_request")
    assert asked(api, {**use, "sha256": "0" * 64}) == (422, "invalid_request")
    assert asked(api, use, engine="mini") == (422, "engine_cannot")
    assert asked(api, {"id": "ad_none"}) == (404, "not_found")
    assert code_of(api.stranger.post("/v1/shots", json=api.request(engine="second", adapters=[use]))) == (
        404,
        "not_found",
    )
    words = [added(api, saved({"<a>": np.ones((1, 96), np.float32)}))["id"] for _ in range(2)]
    assert asked(api, *({"id": word} for word in words)) == (422, "invalid_request")


def test_an_enhancement_uses_adapters_and_holds_them(api: Api) -> None:
    one, body = added(api), {"target": "scene", "mask_id": api.mask()["id"], "engine": "second"}
    url = f"/v1/photos/{api.photo()['id']}/enhancements"
    answer = api.http.post(url, json={**body, "adapters": [{"id": one["id"], "scale": 0.4}]})
    assert answer.status_code == 202, answer.text
    assert code_of(api.http.delete(one["url"])) == (409, "in_use")
    (use,) = spec_in(api, answer.json()["id"]).adapters
    assert (use.id, use.scale, use.sha256) == (one["id"], 0.4, one["sha256"])
    assert api.http.delete(one["url"]).status_code == 204
    assert code_of(api.http.post(url, json={**body, "adapters": [{"id": one["id"]}]})) == (404, "not_found")


def test_adapters_inside_a_prompt_are_refused_with_the_field_to_use(api: Api) -> None:
    for prompt in ("marble <lora:autumn:0.8>", "<LoRA: x", "<lyco:a:1>"):
        answer = api.http.post("/v1/shots", json=api.request(prompt=prompt))
        assert code_of(answer) == (422, "prompt_invalid")
        assert 'adapters: [{"id"' in answer.json()["detail"]


def test_a_style_gives_its_adapters_and_keeps_them(api: Api) -> None:
    one, two = added(api), added(api)
    with Client(api.url, api.key) as client:
        style = client.create_style(
            StyleRequest(
                name=f"Kit {next(NUMBERS)}", palette=["#123456"], adapters=[AdapterIn(id=one["id"], scale=0.7)]
            )
        )
        assert style.adapters is not None
        assert [(use.id, use.scale) for use in style.adapters] == [(one["id"], 0.7)]
        spec = spec_in(api, api.shot(engine="second", style={"style_id": style.id}))
        assert [(use.id, use.scale, use.sha256) for use in spec.adapters] == [(one["id"], 0.7, one["sha256"])]
        assert spec_in(api, api.shot(engine="second", style={"style_id": style.id}, adapters=[])).adapters == ()
        with pytest.raises(Conflict):
            client.delete_adapter(one["id"])
        client.change_style(style.id, StyleChange(adapters=[AdapterIn(id=two["id"])]))
        client.delete_adapter(one["id"])
        changed = client.change_adapter(two["id"], AdapterChange(licence="MIT"))
        assert changed.licence == "MIT"
        client.delete_style(style.id)
        client.delete_adapter(two["id"])
        assert two["id"] not in [kept.id for kept in client.adapters()]


def test_a_catalogue_has_adapters_and_holds_them_until_it_ends(api: Api) -> None:
    one, photo = added(api), api.photo()["id"]
    manifest = {
        "name": "adapted",
        "defaults": {"engine": "second", "adapters": [{"id": one["id"], "scale": 0.5}]},
        "axes": [{"name": "scene", "values": {"marble": "on marble"}}],
        "items": [{"sku": "A", "photo": photo}],
    }
    made = api.http.post("/v1/catalogues", json=manifest)
    assert made.status_code == 201, made.text
    assert code_of(api.http.delete(one["url"])) == (409, "in_use")
    api.http.post(f"/v1/catalogues/{made.json()['id']}/cancel")
    assert api.http.delete(one["url"]).status_code == 204
    plan = api.http.post("/v1/catalogues?dry_run=1", json=manifest).json()
    assert [(row["column"], row["code"]) for row in plan["problems"]] == [("defaults.adapters", "not_found")]
    manifest["defaults"] = {"adapters": [{"id": one["id"]}]}
    plan = api.http.post("/v1/catalogues?dry_run=1", json=manifest).json()
    assert [(row["column"], row["code"]) for row in plan["problems"]] == [("defaults.adapters", "engine_cannot")]


def test_the_command_adds_lists_and_removes(api: Api, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("packshot.cli.servers.ANSWERS_WITHIN_S", 60.0)  # of a machine that does much else
    monkeypatch.setenv("PACKSHOT_KEY", api.key)
    file = tmp_path / f"autumn-{next(NUMBERS)}.safetensors"
    file.write_bytes(peft_file(LORA))
    done = call("adapters", "add", file, "--trigger", "zxa", "--host", api.url, "--json")
    assert done.exit_code == 0, done.stderr
    made = last_json(done)["adapter"]
    assert (made["name"], made["trigger"]) == (file.stem, "zxa")
    listed = last_json(call("adapters", "list", "--host", api.url, "--json"))["adapters"]
    assert made["id"] in [one["id"] for one in listed]
    file.write_bytes(json.dumps({}).encode())
    assert call("adapters", "add", file, "--host", api.url).exit_code == 2
    assert call("adapters", "rm", made["id"], "--host", api.url).exit_code == 0
    assert call("adapters", "rm", made["id"], "--host", api.url).exit_code != 0
