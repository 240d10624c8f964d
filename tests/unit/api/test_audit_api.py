"""`GET /v1/audit` and `client.audit`: a tenant's trail as JSON lines."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import httpx
import pytest

from packshot.client import AsyncClient, Client
from packshot.contract.audit import FIRST_SHA256, AuditLine, line_sha256
from packshot.errors import Forbidden
from tests.api_graph import Api, code_of
from tests.unit.api.test_verify_api import made, picture
from tests.waiting import WAIT_S


def audit(api: Api, caller: httpx.Client | None = None, **params: Any) -> httpx.Response:
    return (caller or api.http).get("/v1/audit", params=params)


def lines_of(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/jsonl"
    return [json.loads(line) for line in answer.content.splitlines()]


@pytest.fixture
def image(api: Api) -> dict[str, Any]:
    picture: dict[str, Any] = api.finish(api.shot(prompt="on marble"))["images"][0]
    return picture


def test_the_trail_names_who_asked_and_which_request(api: Api, image: dict[str, Any]) -> None:
    decided = api.http.post(f"{image['url']}/reviews", json={"state": "approved"})
    with httpx.Client(base_url=api.url, headers={"origin": api.url}, trust_env=False, timeout=WAIT_S) as browser:
        assert browser.post("/v1/session", json={"key": api.key}).status_code == 200
        assert browser.post(f"{image['url']}/reviews", json={"state": "in_review"}).status_code == 201
    url = api.http.post("/v1/shares", json={"name": "spring", "image_ids": [image["id"]]}).json()["url"]
    visitor = {"authorization": f"Bearer {url.partition('#')[2]}"}
    visited = api.anyone.post(
        f"/v1/share/images/{image['id']}/comments", json={"note": "nice", "reviewer": "Ada"}, headers=visitor
    )
    assert visited.status_code == 201, visited.text
    made, approved, open_again, commented = lines_of(audit(api, object=image["id"]))
    assert (made["action"], made["by"], made["tenant"]) == ("image.made", "system", api.tenant_id)
    asked = lines_of(audit(api, object=made["details"]["shot_id"]))[0]
    assert (asked["action"], asked["by"]) == ("shot.asked", f"key {api.key_id}")
    assert asked["request"] == made["request"], "of the request that asked for the picture"
    assert (approved["action"], approved["by"]) == ("image.approved", f"key {api.key_id}")
    assert approved["request"] == decided.headers["x-request-id"]
    assert (open_again["action"], open_again["by"]) == ("image.in_review", f"session {api.key_id}")
    assert commented["by"].startswith("share sl_")
    assert lines_of(audit(api, api.stranger, object=image["id"])) == []


def test_an_export_is_a_chain_and_goes_on_at_a_line(api: Api, image: dict[str, Any]) -> None:
    whole = audit(api)
    raw, lines = whole.content.splitlines(), lines_of(whole)
    assert [line["previous_sha256"] for line in lines] == [FIRST_SHA256, *map(line_sha256, raw[:-1])]
    assert audit(api, cursor=2, limit=3).content.splitlines() == raw[2:5]
    assert audit(api, after=lines[-1]["at"]).content.splitlines()[-1] == raw[-1]
    assert audit(api, before="2020-01-01T00:00:00Z").content == b""
    for wrong in ({"after": "yesterday"}, {"limit": 0}, {"limit": 100_001}, {"cursor": -1}, {"nope": 1}):
        assert code_of(audit(api, **wrong)) == (422, "invalid_request")


def test_another_tenants_trail_needs_an_admin_key(api: Api, image: dict[str, Any]) -> None:
    for caller in (api.http, api.stranger):
        assert code_of(audit(api, caller, tenant="tn_unknown")) == (403, "admin_only")
    headers = {"authorization": f"Bearer {api.store.keys.create('operator', admin=True).secret}"}
    with httpx.Client(base_url=api.url, headers=headers, trust_env=False, timeout=WAIT_S) as operator:
        assert lines_of(audit(api, operator, tenant=api.tenant_id)) == lines_of(audit(api, tenant=api.tenant_id))
        assert code_of(audit(api, operator, tenant="tn_unknown")) == (404, "not_found")


async def test_both_clients_read_the_trail_page_by_page(
    api: Api, image: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("packshot.client.calls.AUDIT_PAGE", 2)
    expected = [AuditLine.model_validate(line) for line in lines_of(audit(api))]
    with Client(api.url, api.key) as client:
        assert list(client.audit()) == expected
        assert list(client.audit(cursor=expected[2].number, after=expected[0].at)) == expected[3:]
        assert [line.action for line in client.audit(object_id=image["id"])] == ["image.made"]
        with pytest.raises(Forbidden):
            next(client.audit(tenant_id="tn_unknown"))
    async with AsyncClient(api.url, api.key) as later:
        assert [line async for line in later.audit()] == expected


def test_reading_a_delivered_file_leaves_a_line(api: Api) -> None:
    image = made(api, picture(90, 320))
    sent = api.http.get(image["url"], params={"preset": "meta-ad-1x1"})
    assert sent.status_code == 200, sent.text
    [file] = api.http.post(f"{image['url']}/deliveries", json={"deliver": [{"preset": "meta-ad-1x1"}]}).json()[
        "deliveries"
    ]
    read = api.http.get(file["url"])
    unchanged = api.http.get(file["url"], headers={"if-none-match": read.headers["etag"]})
    assert (read.status_code, unchanged.status_code) == (200, 304)
    api.http.get(image["url"])  # the working copy
    lines = [line for line in lines_of(audit(api, object=file["id"])) if line["action"] == "file.read"]
    times = [line["details"].pop("times", 1) for line in lines]
    assert sum(times) == 2, "the first two; a client that has the bytes reads nothing"
    assert {line["by"] for line in lines} == {f"key {api.key_id}"}
    assert lines[0]["request"] == sent.headers["x-request-id"]
    assert lines[0]["details"] == {"image_id": image["id"], "preset": "meta-ad-1x1"}


def test_asking_about_a_file_leaves_a_line_with_the_asker_and_one_with_the_owner(api: Api) -> None:
    image = made(api, picture(91))
    data = api.http.get(image["url"]).content
    digest = hashlib.sha256(data).hexdigest()
    for caller in (api.stranger, api.http):
        assert caller.post("/v1/verify", files={"file": data}).json()["ours"]
    details = {"match": "exact", "sha256": digest}
    owners = [line for line in lines_of(audit(api, object=image["id"])) if line["action"] == "file.verified"]
    assert [(line["by"], line["details"]) for line in owners] == [
        ("anyone", details),
        (f"key {api.key_id}", details),
    ]
    assert owners[0].get("request") is None, "the owner does not learn who asked"
    (asked,) = lines_of(audit(api, api.stranger, object=digest))
    assert (asked["action"], asked["details"]) == ("file.verified", details)
    assert asked["by"].startswith("key ")
