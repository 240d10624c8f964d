"""`/v1/tenants/{id}`: for admin keys alone."""

from __future__ import annotations

import httpx
import pytest

from tests.api_graph import Api, code_of, png
from tests.waiting import WAIT_S


@pytest.fixture
def admin(api: Api) -> httpx.Client:
    return bearer(api, api.store.keys.create("operator", admin=True).secret)


def bearer(api: Api, secret: str) -> httpx.Client:
    return httpx.Client(
        base_url=api.url, headers={"authorization": f"Bearer {secret}"}, trust_env=False, timeout=WAIT_S
    )


def test_an_admin_key_deletes_a_tenant_and_gets_the_receipt(api: Api, admin: httpx.Client) -> None:
    secret = api.store.keys.create("leaving").secret
    tenant = api.store.keys.tenant_of(secret)
    assert tenant is not None
    with admin, bearer(api, secret) as leaving:
        photo = leaving.post("/v1/photos", files={"file": ("a.png", png(131, 77, shade=201), "image/png")}).json()
        hold = f"/v1/tenants/{tenant.id}/hold"
        held = admin.put(hold, json={"reason": " case 4711"})
        assert held.json() == {"id": tenant.id, "legal_hold": "case 4711"}
        assert code_of(admin.delete(f"/v1/tenants/{tenant.id}")) == (409, "legal_hold")
        for body in ({"reason": " "}, {"reason": "a\nb"}, {"reason": "x" * 501}, {}):
            assert code_of(admin.put(hold, json=body)) == (422, "invalid_request")
        assert (admin.delete(hold).status_code, admin.delete(hold).status_code) == (204, 204)
        receipt = admin.delete(f"/v1/tenants/{tenant.id}")
        assert receipt.status_code == 200
        assert receipt.json()["counts"] == {"keys": 1, "photos": 1, "files": 1, "audit_events": 5}
        assert receipt.json()["by"].startswith("key ky_")
        assert tenant.id not in receipt.text
        assert admin.delete(f"/v1/tenants/{tenant.id}").json() == receipt.json()
        assert admin.get("/v1/deletions", params={"limit": 1}).json()["deletions"] == [receipt.json()]
        assert code_of(admin.get("/v1/deletions", params={"cursor": "x"})) == (422, "invalid_request")
        assert code_of(leaving.get(photo["url"])) == (401, "unauthorized")
        for path in ("/v1/tenants/tn_unknown", "/v1/tenants/tn_unknown/hold"):
            assert code_of(admin.delete(path)) == (404, "not_found")


def test_no_other_key_and_no_session_deletes_a_tenant(api: Api, admin: httpx.Client) -> None:
    path = f"/v1/tenants/{api.tenant_id}"
    for caller in (api.http, api.stranger):
        assert code_of(caller.delete(path)) == (403, "admin_only")
        assert code_of(caller.put(f"{path}/hold", json={"reason": "x"})) == (403, "admin_only")
        assert code_of(caller.get("/v1/deletions")) == (403, "admin_only")
    assert code_of(api.anyone.delete(path)) == (401, "unauthorized")
    with admin, httpx.Client(base_url=api.url, trust_env=False, timeout=WAIT_S) as browser:
        opened = browser.post("/v1/session", headers={"authorization": admin.headers["authorization"]})
        assert opened.status_code == 200
        browser.cookies.update(opened.cookies)
        assert code_of(browser.delete(path, headers={"origin": api.url})) == (403, "admin_only")
    assert api.http.get("/v1/photos").status_code == 200


def test_a_revoked_admin_key_deletes_nothing(api: Api) -> None:
    new = api.store.keys.create("operator", admin=True)
    api.store.keys.revoke(new.record.id)
    with bearer(api, new.secret) as revoked:
        assert code_of(revoked.delete(f"/v1/tenants/{api.tenant_id}")) == (401, "unauthorized")


def test_an_admin_key_sets_a_tenants_share_of_the_workers(api: Api, admin: httpx.Client) -> None:
    path = f"/v1/tenants/{api.tenant_id}"
    with admin:
        answer = admin.patch(path, json={"weight": 3})
        assert answer.status_code == 200
        assert answer.json()["weight"] == 3.0
        assert [tenant.weight for tenant in api.store.tenants.all() if tenant.id == api.tenant_id] == [3.0]
        for body in ({"weight": 0}, {"weight": 101}, {"weight": None}, {}, {"weight": 1, "name": "x"}):
            assert code_of(admin.patch(path, json=body)) == (422, "invalid_request")
        assert code_of(admin.patch("/v1/tenants/tn_unknown", json={"weight": 1})) == (404, "not_found")
    assert code_of(api.http.patch(path, json={"weight": 9})) == (403, "admin_only")
