"""Authentication: keys, sessions, and open access on loopback."""

import hashlib
import hmac
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from packshot.api.cookies import COOKIE
from packshot.store.schema import Now, session
from packshot.store.sessions import MAX_SESSIONS, SESSION_S
from tests.api_graph import Api, code_of, running

CLOSED = [
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/v1/engines"),
    ("GET", "/v1/words"),
    ("GET", "/v1/audit"),
    ("GET", "/v1/deletions"),
    ("PUT", "/v1/tenants/x/hold"),
    ("DELETE", "/v1/tenants/x/hold"),
    ("GET", "/v1/presets"),
    ("GET", "/v1/shots"),
    ("GET", "/v1/shots/x"),
    ("GET", "/v1/shots/x/events"),
    ("GET", "/v1/shots/x/preview"),
    ("GET", "/v1/events?shots=x"),
    ("GET", "/v1/photos/x"),
    ("GET", "/v1/photos/x.json"),
    ("GET", "/v1/masks/x"),
    ("GET", "/v1/masks/x/cutout"),
    ("GET", "/v1/images/x"),
    ("GET", "/v1/photos"),
    ("GET", "/v1/masks/x.json"),
    ("GET", "/v1/images/x.json"),
    ("GET", "/v1/images/x/thumbnail"),
    ("GET", "/v1/images/x/gain"),
    ("GET", "/v1/catalogues/x/report"),
    ("GET", "/v1/catalogues/x/report.json"),
    ("GET", "/v1/catalogues/x/report.png"),
    ("GET", "/v1/projects"),
    ("GET", "/v1/projects/x"),
    ("GET", "/v1/adapters"),
    ("GET", "/v1/adapters/x"),
    ("POST", "/v1/adapters"),
    ("PATCH", "/v1/adapters/x"),
    ("DELETE", "/v1/adapters/x"),
    ("GET", "/v1/trainings"),
    ("GET", "/v1/trainings/x"),
    ("GET", "/v1/trainings/x/sheet"),
    ("GET", "/v1/trainings/x/loss"),
    ("POST", "/v1/trainings"),
    ("POST", "/v1/trainings/x/cancel"),
    ("DELETE", "/v1/trainings/x"),
    ("GET", "/v1/styles"),
    ("GET", "/v1/styles/x"),
    ("GET", "/v1/styles/x/thumbnail"),
    ("GET", "/v1/catalogues"),
    ("GET", "/v1/catalogues/x"),
    ("GET", "/v1/catalogues/x/rows"),
    ("GET", "/v1/catalogues/x/manifest.csv"),
    ("GET", "/v1/catalogues/x/archive.zip"),
    ("GET", "/v1/catalogues/x/feeds/x"),
    ("POST", "/v1/catalogues"),
    ("PUT", "/v1/catalogues/x/photos"),
    ("POST", "/v1/catalogues/x/photos.zip"),
    ("POST", "/v1/catalogues/x/start"),
    ("POST", "/v1/catalogues/x/pause"),
    ("POST", "/v1/catalogues/x/resume"),
    ("POST", "/v1/catalogues/x/cancel"),
    ("POST", "/v1/catalogues/x/retry"),
    ("POST", "/v1/photos"),
    ("POST", "/v1/photos/x/masks"),
    ("PUT", "/v1/photos/x/masks"),
    ("POST", "/v1/shots"),
    ("POST", "/v1/uploads"),
    ("POST", "/v1/images/x/deliveries"),
    ("POST", "/v1/images/x/clips"),
    ("GET", "/v1/clips/x"),
    ("GET", "/v1/clips/x.json"),
    ("GET", "/v1/images/x/reviews"),
    ("POST", "/v1/images/x/reviews"),
    ("POST", "/v1/images/x/redo"),
    ("POST", "/v1/images/x/touchups"),
    ("POST", "/v1/photos/x/enhancements"),
    ("GET", "/v1/images/x/versions"),
    ("POST", "/v1/images/x/restore"),
    ("POST", "/v1/shares"),
    ("GET", "/v1/shares"),
    ("DELETE", "/v1/shares/x"),
    ("GET", "/v1/share"),
    ("GET", "/v1/share/images/x"),
    ("POST", "/v1/share/images/x/comments"),
    ("GET", "/v1/deliveries/x/x"),
    ("DELETE", "/v1/tenants/x"),
    ("PATCH", "/v1/tenants/x"),
    ("POST", "/v1/projects"),
    ("POST", "/v1/styles"),
    ("POST", "/v1/palettes"),
    ("POST", "/v1/verify"),
    ("PATCH", "/v1/images/x"),
    ("PATCH", "/v1/projects/x"),
    ("PATCH", "/v1/styles/x"),
    ("DELETE", "/v1/photos/x"),
    ("DELETE", "/v1/masks/x"),
    ("DELETE", "/v1/shots/x"),
    ("DELETE", "/v1/projects/x"),
    ("DELETE", "/v1/styles/x"),
    ("GET", "/v1/usage"),
    ("GET", "/v1/tenants/x/budget"),
    ("PUT", "/v1/tenants/x/budget"),
    ("GET", "/v1/keys/x/budget"),
    ("PUT", "/v1/keys/x/budget"),
    ("GET", "/v1/webhooks"),
    ("POST", "/v1/webhooks"),
    ("GET", "/v1/webhooks/x"),
    ("DELETE", "/v1/webhooks/x"),
    ("POST", "/v1/webhooks/x/rotate"),
    ("GET", "/v1/webhooks/x/attempts"),
    ("POST", "/v1/webhooks/x/attempts/1/resend"),
]


@pytest.mark.parametrize(("method", "path"), CLOSED)
@pytest.mark.parametrize("header", [None, "Bearer pk_wrong", "Basic abc", "Bearer", "Bearer \xff"])
def test_without_a_valid_key_every_closed_route_answers_401(
    api: Api, method: str, path: str, header: str | None
) -> None:
    headers = {b"authorization": header.encode("latin-1")} if header else {}
    answer = api.anyone.request(method, path, headers=headers)
    assert code_of(answer) == (401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_every_route_is_either_open_or_in_the_table_above(api: Api) -> None:
    paths = api.http.get("/openapi.json").json()["paths"]
    documented = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    closed = {(method, path.split("?")[0].replace("/x", "/{}").replace("/1", "/{}")) for method, path in CLOSED}
    told = {(method, _without_names(path)) for method, path in documented}
    assert told - {
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("POST", "/v1/session"),
        ("DELETE", "/v1/session"),
    } == closed - {("GET", "/openapi.json")}


def _without_names(path: str) -> str:
    import re

    return re.sub(r"\{\w+\}", "{}", path)


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz"])
def test_open_routes_need_no_key(api: Api, path: str) -> None:
    assert api.anyone.get(path).status_code == 200


def test_a_revoked_key_is_refused_at_once_and_so_is_its_session(tmp_path: Path) -> None:
    with running(tmp_path) as api:
        api.anyone.post("/v1/session", json={"key": api.key})
        assert api.http.get("/v1/shots").status_code == api.anyone.get("/v1/shots").status_code == 200
        api.store.keys.revoke(api.key_id)
        assert code_of(api.http.get("/v1/shots")) == (401, "unauthorized")
        assert code_of(api.anyone.get("/v1/shots")) == (401, "unauthorized")


def session_cookie(api: Api, value: str | None = None) -> dict[str, str]:
    return {"cookie": f"{COOKIE}={value or opened(api)}"}


def opened(api: Api) -> str:
    """The token of a new session."""
    new = api.store.sessions.open(api.key)
    assert new is not None
    return new.token


def test_a_key_is_traded_for_a_cookie_that_scripts_and_other_sites_cannot_use(api: Api) -> None:
    answer = api.http.post("/v1/session", json={"key": api.key}, headers={"authorization": f"Bearer {api.key}"})
    cookie = answer.headers["set-cookie"]
    assert answer.status_code == 200
    assert answer.json()["tenant"] == "brand"
    assert {"HttpOnly", "SameSite=strict", "Path=/", f"Max-Age={int(SESSION_S)}"} <= set(cookie.split("; "))
    assert "expires" not in cookie.lower()  # a browser whose clock is wrong would drop the cookie at once
    api.http.cookies.clear()


def test_the_cookie_is_secure_where_the_page_is(api: Api) -> None:
    answer = api.stranger.post("/v1/session", json={"key": api.key}, headers={"x-forwarded-proto": "https"})
    assert "Secure" in answer.headers["set-cookie"]
    api.stranger.cookies.clear()


def test_the_cookie_opens_what_pages_cannot_set_headers_on(api: Api) -> None:
    shot_id = api.shot()
    shot = api.finish(shot_id)
    for path in (api.photo()["url"], shot["images"][0]["url"], f"/v1/shots/{shot_id}/events"):
        assert api.anyone.get(path, headers=session_cookie(api)).status_code == 200


@pytest.mark.parametrize("origin", [None, "null", "https://evil.example", "http://127.0.0.1:1", "http://[", "file://x"])
def test_with_a_cookie_an_unsafe_method_needs_its_own_origin(api: Api, origin: str | None) -> None:
    headers = {**session_cookie(api), **({"origin": origin} if origin else {})}
    for method, path in (("POST", "/v1/shots"), ("DELETE", "/v1/shots/x"), ("PATCH", "/v1/images/x")):
        assert code_of(api.anyone.request(method, path, headers=headers)) == (403, "origin_refused")


def test_with_a_cookie_and_its_own_origin_an_unsafe_method_goes(api: Api) -> None:
    headers = {**session_cookie(api), "origin": api.url}
    assert api.anyone.post("/v1/shots", json=api.request(), headers=headers).status_code == 202


def test_a_session_that_ended_leaves_no_cookie(api: Api) -> None:
    api.anyone.post("/v1/session", json={"key": api.key})
    assert api.anyone.get("/v1/shots").status_code == 200
    assert api.anyone.delete("/v1/session", headers={"origin": api.url}).status_code == 204
    assert not api.anyone.cookies
    assert code_of(api.anyone.get("/v1/shots")) == (401, "unauthorized")


def test_another_site_cannot_sign_a_visitor_out(api: Api) -> None:
    answer = api.anyone.delete("/v1/session", headers={"origin": "https://evil.example"})
    assert code_of(answer) == (403, "origin_refused")


def test_another_site_cannot_sign_a_visitor_in(api: Api) -> None:
    answer = api.anyone.post("/v1/session", json={"key": api.key}, headers={"origin": "https://evil.example"})
    assert code_of(answer) == (403, "origin_refused")


def test_a_session_that_is_ended_is_ended_in_every_copy_of_its_cookie(api: Api) -> None:
    mine, other = session_cookie(api), session_cookie(api)
    assert api.anyone.delete("/v1/session", headers={**mine, "origin": api.url}).status_code == 204
    assert code_of(api.anyone.get("/v1/shots", headers=mine)) == (401, "unauthorized")
    assert api.anyone.get("/v1/shots", headers=other).status_code == 200


def test_a_cookie_tells_nothing_about_the_key(api: Api) -> None:
    token = opened(api)
    assert api.key.removeprefix("pk_") not in token
    assert not api.key.startswith(token[:11])
    assert code_of(api.anyone.get("/v1/shots", headers={"authorization": f"Bearer {token}"})) == (401, "unauthorized")
    with api.store.database.read() as connection:
        stored = [str(value) for row in connection.execute(session.select()) for value in row]
    assert stored
    assert not [value for value in stored if token in value or api.key in value]


def test_a_cookie_that_ended_or_was_altered_is_refused(api: Api) -> None:
    ended, good = opened(api), opened(api)
    with api.store.database.write() as connection:
        newest = connection.execute(session.select().order_by(session.c.expires_at.desc())).first()
        assert newest is not None
        assert newest.expires_at <= connection.execute(Now().select()).scalar_one() + SESSION_S
        old = session.update().where(session.c.sha256 == hashlib.sha256(ended.encode()).hexdigest())
        assert connection.execute(old.values(expires_at=Now() - 1)).rowcount == 1
    for value in (ended, good[:-1] + ("A" if good[-1] != "A" else "B"), good[:-1], "x", "1.2.3", "ps_"):
        assert code_of(api.anyone.get("/v1/shots", headers=session_cookie(api, value))) == (401, "unauthorized")
    assert api.store.retention.sweep()["sessions"] == 1


def test_a_cookie_of_0_1_0_which_held_the_key_is_refused_plainly(api: Api) -> None:
    ends_at = int(time.time()) + 3600
    sign = hmac.new(api.key.encode(), f"packshot session until {ends_at}".encode(), hashlib.sha256).hexdigest()
    answer = api.anyone.get("/v1/shots", headers=session_cookie(api, f"{ends_at}.{api.key}.{sign}"))
    assert code_of(answer) == (401, "unauthorized")
    assert "earlier version" in answer.json()["detail"]


def test_a_new_session_ends_the_oldest_of_many(api: Api) -> None:
    first = opened(api)
    for _ in range(MAX_SESSIONS):
        last = opened(api)
    assert api.store.sessions.tenant_of(first) is None
    assert api.store.sessions.tenant_of(last) is not None


def test_the_body_of_a_session_is_small(api: Api) -> None:
    """It is read before its sender is known."""
    assert code_of(api.anyone.post("/v1/session", json={"key": "k" * 5000})) == (413, "body_too_large")


@pytest.mark.parametrize("body", [{}, {"key": ""}, {"key": "k" * 300}, {"key": 5}, {"keys": "x"}])
def test_a_session_needs_a_key(api: Api, body: dict[str, Any]) -> None:
    assert code_of(api.anyone.post("/v1/session", json=body)) == (422, "invalid_request")


def test_a_session_of_a_wrong_key_is_refused(api: Api) -> None:
    assert code_of(api.anyone.post("/v1/session", json={"key": "pk_wrong"})) == (401, "unauthorized")


@pytest.fixture(scope="module")
def open_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running(tmp_path_factory.mktemp("open"), open_access=True) as api:
        yield api


def test_open_access_serves_without_keys_as_the_local_tenant(open_api: Api) -> None:
    answer = open_api.anyone.post("/v1/shots", json={"layers": [{"mask_id": "mk_x"}]})
    assert code_of(answer) == (404, "not_found")
    assert open_api.anyone.get("/v1/shots").json() == {"shots": [], "next_cursor": None}


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "127.0.0.1:x", "a@127.0.0.1:{port}", "["]
)
def test_open_access_refuses_a_host_that_is_not_this_machine(open_api: Api, host: str) -> None:
    """DNS rebinding: the Host header still has the page's own name."""
    port = open_api.url.rpartition(":")[2]
    answer = open_api.anyone.get("/v1/shots", headers={"host": host.format(port=port)})
    assert code_of(answer) == (403, "origin_refused")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_open_access_takes_every_loopback_name(open_api: Api, host: str) -> None:
    port = open_api.url.rpartition(":")[2]
    headers = {"host": f"{host}:{port}", "origin": f"http://{host}:{port}"}
    assert open_api.anyone.get("/v1/shots", headers=headers).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1"])
def test_open_access_refuses_other_origins(open_api: Api, origin: str) -> None:
    for call in (open_api.anyone.get, open_api.anyone.delete):
        assert code_of(call("/v1/shots/x", headers={"origin": origin})) == (403, "origin_refused")


def test_open_access_does_not_take_a_wrong_key(open_api: Api) -> None:
    assert code_of(open_api.anyone.get("/v1/shots", headers={"authorization": "Bearer pk_x"})) == (401, "unauthorized")
    assert open_api.http.get("/v1/shots").status_code == 200
