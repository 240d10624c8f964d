"""Words of prompts that the engine leaves out are named before anything is painted. mini has a closed vocabulary."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

import pytest

from packshot.client import AsyncClient, Client
from packshot.contract.adapters import AdapterKind
from packshot.store.adapters import NewAdapter
from tests.api_graph import Api, code_of

NUMBERS = count()
LEFT_OUT = "unknown words were left out: zorbly; use other, English words"


def adapter(api: Api, trigger: str, kind: AdapterKind = "lora") -> str:
    name = f"{trigger} {next(NUMBERS)}"
    new = NewAdapter(name=name, kind=kind, engine="mini", family="mini", rank=4, licence="", trigger=trigger)
    return api.store.adapters.add(api.tenant_id, new, trigger.encode()).id


def read(api: Api, text: str, **asked: Any) -> dict[str, Any]:
    answer = api.http.get("/v1/words", params={"text": text, "use": "prompt"} | asked)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize(
    ("text", "unknown", "codes"),
    [
        ("on a marble table, soft morning light", [], []),
        ("Zorbly on a marble table", ["zorbly"], ["words_ignored"]),
        ("zorbly", ["zorbly"], ["words_ignored", "no_known_word"]),
        ("白色大理石", ["白色大理石"], ["words_ignored", "no_known_word"]),
        ("marble " * 40, [], ["prompt_truncated"]),
        ("白" * 2_000, ["白" * 2_000], ["words_ignored", "no_known_word"]),
    ],
)
def test_a_prompt_is_read_before_it_is_painted(api: Api, text: str, unknown: list[str], codes: list[str]) -> None:
    answer = read(api, text)
    assert answer["words"]["unknown"] == unknown
    assert [note["code"] for note in answer["notes"]] == codes


def test_both_clients_read_a_prompt(api: Api) -> None:
    async def ask() -> list[str]:
        async with AsyncClient(api.url, api.key) as client:
            found = await client.read_prompt("zorbly on marble", engine="second")
            return [note.detail for note in found.notes]

    with Client(api.url, api.key) as client:
        found = client.read_prompt("zorbly on marble")
    assert (found.words.known, found.words.unknown) == (("on", "marble"), ("zorbly",))
    assert [note.detail for note in found.notes] == [LEFT_OUT] == asyncio.run(ask())


def test_the_trigger_of_an_adapter_is_a_known_word(api: Api) -> None:
    lora, inversion = adapter(api, "zorbly"), adapter(api, "quaxle", kind="inversion")
    assert read(api, "Zorbly on marble", adapter=[lora])["notes"] == []
    # A LoRA's word has no id of its own: an engine that knows no other word paints an empty prompt.
    assert [note["code"] for note in read(api, "zorbly", adapter=[lora])["notes"]] == ["no_known_word"]
    assert read(api, "quaxle", adapter=[lora, inversion])["notes"] == []


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"text": " ", "use": "prompt"}, (422, "invalid_request")),
        ({"text": "x" * 2_001, "use": "prompt"}, (422, "prompt_invalid")),
        ({"text": "<lora:x:1>", "use": "prompt"}, (422, "prompt_invalid")),
        ({"text": "mug", "use": "prompt", "engine": "none"}, (422, "unknown_engine")),
        ({"text": "mug", "use": "prompt", "adapter": "ad_0"}, (404, "not_found")),
        ({"text": "mug", "use": "prompt", "adapter": ["ad_0"] * 5}, (422, "invalid_request")),
        ({"text": "mug", "use": "painting"}, (422, "invalid_request")),
        ({"text": "mug", "engine": "mini"}, (422, "invalid_request")),
        ({"text": "mug", "adapter": "ad_0"}, (422, "invalid_request")),
        ({"text": "mug " * 51}, (422, "invalid_request")),
    ],
)
def test_a_question_that_does_not_fit_is_refused(api: Api, asked: dict[str, Any], code: tuple[int, str]) -> None:
    assert code_of(api.http.get("/v1/words", params=asked)) == code


def test_another_tenants_adapter_is_not_found(api: Api) -> None:
    theirs = {"text": "mug", "use": "prompt", "adapter": adapter(api, "zorbly")}
    assert code_of(api.stranger.get("/v1/words", params=theirs)) == (404, "not_found")


def test_a_dry_run_names_the_place_of_unknown_words_once(api: Api) -> None:
    """Words are told where they stand, and not again for each scene; what concerns a whole prompt, of its scene."""
    axes = [
        {"name": "scene", "values": {"marble": "on marble", "odd": "frimble wood"}},
        {"name": "season", "values": {"long": "marble " * 30, "none": ""}, "combine": "product"},
    ]
    body = {
        "name": "x",
        "defaults": {"prompt": "zorbly, quaxle", "negative_prompt": "grumble"},
        "axes": axes,
        "items": [{"sku": "A", "photo": api.photo()["id"]}],
    }
    body["defaults"]["adapters"] = [{"id": adapter(api, "quaxle"), "scale": 1.0}]  # type: ignore[index]
    body["defaults"]["engine"] = "second"  # type: ignore[index]
    planned = api.http.post("/v1/catalogues?dry_run=1", json=body).json()
    assert (planned["ok"], planned["problems"]) == (True, [])
    assert [(one["column"], one["code"], one["rule"].partition(": ")[2]) for one in planned["warnings"]] == [
        ("defaults.prompt", "words_ignored", "zorbly"),
        ("defaults.negative_prompt", "words_ignored", "grumble"),
        ("axes.scene.values.odd", "words_ignored", "frimble"),
        ("axes.marble-long", "prompt_truncated", ""),
        ("axes.odd-long", "prompt_truncated", ""),
    ]
    assert planned["warnings"][0]["remedy"] == "Use other, English words."


def test_a_dry_run_warns_of_a_prompt_without_any_known_word(api: Api) -> None:
    body = {"name": "x", "defaults": {"prompt": "zorbly"}, "items": [{"sku": "A", "photo": api.photo()["id"]}]}
    assert api.http.post("/v1/catalogues?dry_run=1", json=body).json()["warnings"] == []  # nothing is painted
    body["axes"] = [{"name": "scene", "values": {"odd": "quaxle"}}]
    warnings = api.http.post("/v1/catalogues?dry_run=1", json=body).json()["warnings"]
    assert [(one["column"], one["code"]) for one in warnings] == [
        ("defaults.prompt", "words_ignored"),
        ("axes.scene.values.odd", "words_ignored"),
        ("axes.odd", "no_known_word"),
    ]
