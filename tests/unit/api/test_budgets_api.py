"""Budgets are the operator's to set, bound what is accepted, and stand in the `RateLimit` headers. Usage is told."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.api_graph import Api, code_of, png
from tests.waiting import WAIT_S


@pytest.fixture
def admin(api: Api) -> Iterator[httpx.Client]:
    with _client(api, api.store.keys.create("operator", admin=True).secret) as client:
        yield client


def _client(api: Api, secret: str) -> httpx.Client:
    return httpx.Client(
        base_url=api.url, headers={"authorization": f"Bearer {secret}"}, trust_env=False, timeout=WAIT_S
    )


def test_a_spent_budget_answers_402_with_the_time_of_the_next(api: Api, admin: httpx.Client) -> None:
    new = api.store.keys.create("bounded")
    tenant = api.store.keys.tenant_of(new.secret)
    assert tenant is not None
    with _client(api, new.secret) as bounded:
        photo = bounded.post("/v1/photos", files={"file": ("a.png", png(131, 77, shade=97), "image/png")}).json()
        mask = bounded.post(f"/v1/photos/{photo['id']}/masks", json={}).json()["masks"][0]["id"]
        ask = {"layers": [{"mask_id": mask}], "sku": "MUG-01", "images": 2}
        assert "ratelimit" not in bounded.get("/v1/shots").headers
        made = admin.put(f"/v1/keys/{new.record.id}/budget", json={"images_per_day": 3, "live_shots": 9})
        assert made.json()["budgets"][1] == {"budget": "live_shots", "limit": 9, "spent": 0}
        assert admin.put(f"/v1/tenants/{tenant.id}/budget", json={"device_s_per_month": 60.0}).status_code == 200

        accepted = bounded.post("/v1/shots", json=ask)
        assert accepted.status_code == 202
        policy, limits = accepted.headers["ratelimit-policy"], accepted.headers["ratelimit"]
        assert policy.startswith('"key-images-per-day";q=3;w=86400, "key-live-shots";q=9, "tenant-device-s-per-month"')
        images, live, device = limits.split(", ")
        assert images.startswith('"key-images-per-day";r=1;t=')
        assert (live, device.rpartition(";t=")[0]) == ('"key-live-shots";r=8', '"tenant-device-s-per-month";r=60')

        refused = bounded.post("/v1/shots", json=ask)
        assert code_of(refused) == (402, "budget_spent")
        assert refused.headers["ratelimit"].startswith(f"{images.rpartition('=')[0]}=")
        assert 0 < int(refused.headers["retry-after"]) <= 86400
        assert "the budget resets at" in refused.json()["detail"]
        assert bounded.get(accepted.json()["url"]).headers["ratelimit"].startswith('"key-images-per-day";r=1')

        claim = api.claim(accepted.json()["id"])
        api.commit(claim)
        used = bounded.get("/v1/usage?group=sku").json()
        assert used["rows"] == [{"name": "MUG-01", "shots": 1, "pictures": 2, "device_s": 0.0}]
        assert used["total"] == {"shots": 1, "pictures": 2, "device_s": 0.0}
        assert [row["name"] for row in bounded.get("/v1/usage?group=key").json()["rows"]] == [new.record.id]
        assert (
            bounded.get(f"/v1/usage?from={used['last_day']}&to={used['last_day']}").json()["rows"][0]["pictures"] == 2
        )
        assert code_of(bounded.get("/v1/usage?from=2026-02-01&to=2026-01-01")) == (422, "invalid_request")
        assert code_of(bounded.get("/v1/usage?group=colour")) == (422, "invalid_request")
        assert not any(row["name"] == "MUG-01" for row in api.stranger.get("/v1/usage?group=sku").json()["rows"])


def test_budgets_are_for_admin_keys_and_never_nothing(api: Api, admin: httpx.Client) -> None:
    for path in (f"/v1/tenants/{api.tenant_id}/budget", f"/v1/keys/{api.key_id}/budget"):
        for method in ("GET", "PUT"):
            assert code_of(api.http.request(method, path, json={} if method == "PUT" else None)) == (403, "admin_only")
        for nothing in ({"images_per_day": 0}, {"device_s_per_month": 0.0}, {"live_shots": -1}, {"images": 4}):
            assert code_of(admin.put(path, json=nothing)) == (422, "invalid_request")
        assert admin.put(path, json={}).json()["budgets"] == []
        assert admin.get(path).json() == {"owner_id": path.split("/")[3], "budgets": []}
    for unknown in ("/v1/tenants/tn_unknown/budget", f"/v1/keys/{api.tenant_id}/budget", "/v1/keys/ky_none/budget"):
        assert code_of(admin.put(unknown, json={"live_shots": 1})) == (404, "not_found")
