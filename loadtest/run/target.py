"""The server under test before the load: checks that it may be loaded and answers, and prepares its tenants."""

from __future__ import annotations

import ipaddress
import secrets
import ssl
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx

from loadtest.checks.png import png_size
from loadtest.errors import Refused
from loadtest.run.job import Job, Tenant
from loadtest.scenarios.photos import DrawnPhoto, draw_pool
from loadtest.scenarios.scenario import Scenario

TIMEOUT_S = 60.0
OWN_IT = "--i-own-this-host"


def check_host(url: str, *, owned: bool) -> str:
    """The normalised base URL.

    Raises Refused when `url` is not a base URL, or when its host is not this machine and `owned` is False.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise Refused(f"--host must be a URL such as http://127.0.0.1:8000, got {url!r} ({error})") from None
    if parts.scheme not in ("http", "https") or not host or parts.path.strip("/") or parts.query or parts.username:
        raise Refused(f"--host must be a URL such as http://127.0.0.1:8000, got {url!r}")
    if not owned and not _is_loopback(host):
        raise Refused(f"the host must be this machine, got {host}; pass {OWN_IT} if you may load that host")
    return f"{parts.scheme}://{parts.netloc}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def client(host: str, key: str | None = None) -> httpx.Client:
    """An HTTP client of the server. It ignores the proxies of the environment."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return httpx.Client(
        base_url=host, headers=headers, timeout=TIMEOUT_S, trust_env=False, verify=ssl.create_default_context()
    )


def check_reachable(host: str, path: str = "/readyz") -> None:
    """Return when GET `path` answers 200.

    Raises Refused when the server is unreachable, its certificate is not trusted, or it is not ready.
    """
    try:
        with client(host) as http:
            answer = http.get(path, timeout=10)
    except httpx.ConnectError as error:
        if "certificate" in str(error).lower() or "ssl" in str(error).lower():
            raise Refused(
                f"{host} must present a certificate that this machine trusts: {error}; set SSL_CERT_FILE"
            ) from None
        raise Refused(f"{host} must be reachable, got {type(error).__name__}: {error}; is it running?") from None
    except httpx.HTTPError as error:
        raise Refused(f"{host} must answer GET {path}, got {type(error).__name__}: {error}") from None
    if answer.status_code != 200:
        raise Refused(
            f"{host} must be ready before the load, but GET {path} answered {answer.status_code} {answer.text[:160]}"
        )


def prepare(host: str, scenario: Scenario, keys: Sequence[str | None], *, workers: int, factor: float) -> Job:
    """Upload a photo for every tenant and make one mask, from which integrators and catalogues order.

    `keys` holds one key per tenant; fewer keys are reused in turn. `workers` is the number of generator processes, and
    `factor` scales every rate. Raises Refused when a request fails.
    """
    run = secrets.token_hex(4)
    if all(row.persona == "probe" for row in scenario.traffic):
        tenants = [Tenant(key, "", "", (0, 0), 0) for key in _key_per_tenant(keys, scenario.tenants)]
        return Job(run, scenario, host, tuple(tenants), workers, factor)
    pool = draw_pool(scenario.photos, scenario.seed)
    tenants = [
        _prepared(host, key, pool[index % len(pool)], index % len(pool), f"{run}-{index}")
        for index, key in enumerate(_key_per_tenant(keys, scenario.tenants))
    ]
    return Job(run, scenario, host, tuple(tenants), workers, factor)


def _key_per_tenant(keys: Sequence[str | None], tenants: int) -> list[str | None]:
    return [keys[index % len(keys)] for index in range(tenants)]


def _prepared(host: str, key: str | None, photo: DrawnPhoto, number: int, name: str) -> Tenant:
    with client(host, key) as http:
        uploaded = _ok(http, "/v1/photos", files={"file": ("photo", photo.unique(name), "image/jpeg")})
        found = _ok(http, f"/v1/photos/{uploaded['id']}/masks", json={"boxes": [list(photo.box_xyxy)]})
        mask = found["masks"][0]
        cutout = http.get(mask["cutout_url"])
    try:
        return Tenant(key, uploaded["id"], mask["id"], png_size(cutout.content), number)
    except ValueError as error:
        raise Refused(f"GET {mask['cutout_url']} must return the cutout before the load: it {error}") from None


def _ok(http: httpx.Client, path: str, **options: Any) -> dict[str, Any]:
    try:
        answer = http.post(path, **options)
    except httpx.HTTPError as error:
        raise Refused(f"{http.base_url} must answer POST {path}, got {type(error).__name__}: {error}") from None
    if answer.status_code == 401:
        raise Refused(
            f"{http.base_url} requires keys: set PACKSHOT_LOADTEST_KEYS to one key per tenant, separated by spaces"
        )
    if not answer.is_success:
        raise Refused(f"POST {path} must succeed before the load, got {answer.status_code} {answer.text[:200]}")
    body: dict[str, Any] = answer.json()
    return body
