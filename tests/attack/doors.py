"""Requests that must be refused: of another tenant, with malformed files, with addresses, and made from the schema."""

from __future__ import annotations

import json
import random
import re
import socket
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psutil

from tests.attack.row import Figures, Row
from tests.attack.target import Target
from tests.waiting import WAIT_S

SEED = 20261126
CPU_S = 2.0
"""Processor time that one file may take, of the server and its decoder together."""


def cross_tenant(target: Target, count: int) -> Row:
    """`count` requests of a stranger for what the tenant owns: every route, alone and mixed with its own ids."""
    with target.client(target.key) as client:
        paths: dict[str, Any] = client.get("/openapi.json").json()["paths"]
    wanted = [(method.upper(), path) for path, methods in paths.items() for method in methods if "{" in path]
    listed = [path for path, methods in paths.items() if "get" in methods and "{" not in path and "/v1/" in path]
    bodies: list[dict[str, Any]] = [
        {"layers": [{"mask_id": target.ids["mask_id"]}]},
        {"name": "mine now"},
        {"review": "approved"},
        {},
    ]
    rng = random.Random(SEED)
    secrets = [*target.ids.values(), "secret", target.key]
    leaks: list[str] = []
    statuses: dict[int, int] = {}

    def attempt(number: int) -> None:
        client, options = clients[number % len(clients)], dict[str, Any]()
        if number % 10 == 0:
            method, path = "GET", rng.choice(listed)
            if path == "/v1/events":
                options = {"params": {"shots": target.ids["shot_id"]}}
        elif number % 10 == 1:
            method, path, options = "POST", "/v1/shots", {"json": bodies[0]}
        else:
            method, path = wanted[number % len(wanted)]
            ids = list(target.ids.values())
            path = re.sub(r"\{(\w+)\}", lambda m: target.ids.get(m[1], rng.choice(ids)), path)
            if method in ("POST", "PATCH"):
                options = {"json": rng.choice(bodies)}
        with client.stream(method, path, **options) as answer:
            lasts = answer.headers.get("content-type", "").startswith("text/event-stream")
            text = next(answer.iter_text(), "") if lasts else answer.read().decode("utf-8", "replace")
        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
        asked = path + json.dumps(options)
        told = text.replace(path, "")
        if answer.status_code >= 500 or (answer.is_success and any(s in asked for s in secrets)):
            leaks.append(f"{method} {path} {answer.status_code}")
        elif any(secret in told and secret not in asked for secret in secrets):
            leaks.append(f"{method} {path} {told[:200]}")

    clients = [target.client(target.stranger) for _ in range(8)]
    with ThreadPoolExecutor(8) as many:
        list(many.map(attempt, range(count)))
    for client in clients:
        client.close()
    seen: Figures = {
        "leaks": len(leaks),
        "first": leaks[0] if leaks else "-",
        "statuses": json.dumps(statuses, sort_keys=True),
    }
    return Row("tenants", "0 leaks", count, not leaks, seen)


def malformed(target: Target, files: Iterable[tuple[str, bytes]]) -> Row:
    """Upload each file, one after the other. None may be answered with a 5xx or take long."""
    server = psutil.Process(target.pid)
    failed, slow, tried, worst_s = [], [], 0, 0.0
    with target.client(target.key) as client:
        for name, data in files:
            before_s = _cpu_s(server)
            answer = client.post("/v1/photos", files={"file": (name[-60:], data, "image/jpeg")})
            took_s = _cpu_s(server) - before_s
            tried, worst_s = tried + 1, max(worst_s, took_s)
            if answer.status_code >= 500:
                failed.append(f"{name} {answer.status_code}")
            if took_s > CPU_S:
                slow.append(name)
    seen: Figures = {
        "5xx": len(failed),
        "slow": len(slow),
        "worst_cpu_s": round(worst_s, 2),
        "first": (failed + slow + ["-"])[0],
    }
    return Row("files", f"0 5xx, each at most {CPU_S:g} s of processor time", tried, not failed + slow, seen)


def _cpu_s(server: psutil.Process) -> float:
    """Processor seconds of the server, its running workers, and those that it has reaped."""
    times = server.cpu_times()
    total = times.user + times.system + times.children_user + times.children_system
    for child in server.children():
        try:
            total += sum(child.cpu_times()[:2])
        except psutil.NoSuchProcess:
            continue
    return total


def addresses(target: Target, count: int) -> Row:
    """`count` texts that name an address of this machine, in every text field. Nothing may connect to it.

    The one field that takes any URL, a webhook's, must refuse each of them.
    """
    with target.client(target.key) as client:
        document = client.get("/openapi.json").json()
        takes_urls = sorted(_url_fields(document))
        with canary() as (port, connections):
            forms = [
                form.format(port=port)
                for form in (
                    "http://127.0.0.1:{port}/", "http://localhost:{port}/a.jpg", "http://[::1]:{port}/",
                    "http://[::ffff:127.0.0.1]:{port}/", "http://2130706433:{port}/", "http://0x7f.1:{port}/",
                    "http://017700000001:{port}/", "http://127.1:{port}/", "//127.0.0.1:{port}/", "ftp://127.0.0.1:{port}/",
                    "http://user@127.0.0.1:{port}/", "http://127.0.0.1:{port}#@example.com/",
                    "http://[64:ff9b::7f00:1]:{port}/", "http://[2002:7f00:1::]:{port}/", "http://169.254.169.254:{port}/",
                    "file:///etc/passwd", "http://0.0.0.0:{port}/", "http:127.0.0.1:{port}",
                )
            ]  # fmt: skip
            failed = taken = 0
            for number in range(count):
                text = forms[number % len(forms)]
                method, path, body = (
                    ("POST", "/v1/projects", {"name": text + str(number)}),
                    (
                        "POST",
                        "/v1/shots",
                        {"layers": [{"mask_id": text}], "prompt": text, "sku": text},
                    ),
                    ("POST", "/v1/styles", {"name": text, "prompt": text, "image_id": text}),
                    ("POST", f"/v1/photos/{target.ids['photo_id']}/masks", {"base_mask_id": text, "boxes": []}),
                    ("POST", "/v1/session", {"key": text}),
                    (
                        "POST",
                        "/v1/catalogues",
                        {
                            "name": text,
                            "deliver": [{"preset": "shopify", "scene": "white", "to": text}],
                            "items": [{"sku": "A", "photo": text, "mask": text}],
                        },
                    ),
                    ("POST", "/v1/webhooks", {"url": text, "events": ["shot.ended"]}),
                )[number // len(forms) % 7]
                headers = {"referer": text, "x-forwarded-host": text, "x-forwarded-for": text}
                status = client.request(method, path, json=body, headers=headers).status_code
                failed += status >= 500
                taken += path == "/v1/webhooks" and status != 422
            seen: Figures = {"connections": len(connections), "5xx": failed, "webhooks": taken}
    seen["fields_that_take_a_url"] = ", ".join(takes_urls) or "none"
    held = not connections and not failed and not taken and takes_urls == ["WebhookRequest.url"]
    return Row("addresses", "0 connections; only webhooks take a URL, and refuse these", count, held, seen)


def _url_fields(document: dict[str, Any]) -> set[str]:
    """The fields of request bodies that take an address, by their names or formats."""
    bodies = set()
    for methods in document["paths"].values():
        for operation in methods.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                bodies.add(content["schema"].get("$ref", "").rpartition("/")[2])
    found = set()
    for name in bodies - {""}:
        for field, schema in document["components"]["schemas"][name].get("properties", {}).items():
            if re.search(r"ur[il]s?$|callback|webhook|href", field) or schema.get("format") in ("uri", "url"):
                found.add(f"{name}.{field}")
    return found


@contextmanager
def canary() -> Iterator[tuple[int, list[Any]]]:
    """A loopback port, and the connections that were made to it."""
    connections: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listen() -> None:
            while True:
                try:
                    connections.append(listener.accept()[1])
                except OSError:
                    return

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield listener.getsockname()[1], connections
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(WAIT_S)


def from_schema(target: Target, examples: int) -> Row:
    """Requests that schemathesis makes from /openapi.json, `examples` for each operation, with the tenant's key."""
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, seed, settings
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

    schemathesis.serializer.alias("application/zip", "application/octet-stream")
    headers = {"Authorization": f"Bearer {target.key}"}
    schema = schemathesis.openapi.from_url(f"{target.url}/openapi.json", headers=headers, wait_for_schema=60)
    checks = [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_schema_conformance,
    ]
    tried, failures = 0, []
    for found in schema.get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]  # the other kind is a schema with a mistake
        if "event" in operation.path:
            continue  # a stream of a live shot does not end

        @seed(SEED)
        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def send(case: Any) -> None:
            nonlocal tried
            tried += 1
            answer = case.call(headers=headers, timeout=WAIT_S)
            case.validate_response(answer, checks=checks)

        try:
            send()
        except Exception as error:  # noqa: BLE001 - each failure is a figure of the row
            failures.append(f"{operation.label}: {str(error)[:400]}")
    seen: Figures = {"failures": len(failures), "first": failures[0] if failures else "-"}
    return Row("schema", "0 answers that /openapi.json does not describe", tried, not failures, seen)
