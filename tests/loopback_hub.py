"""A model hub on loopback: the routes of the hub that its client uses, over files in memory.

    HEAD and GET  /REPO/resolve/REVISION/FILE        with the size, the etag (sha256 of large files) and the commit
    GET           /api/models/REPO[/revision/R]      the commit
    GET           /api/models/REPO/tree/REVISION     every file with its size and hash

A repository can be gated, and a download can be cut, so that tests meet what a hub does.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "c" * 40
TOKEN = "hf_loopbackloopbackloopback"


@dataclass
class HubRepo:
    """One repository with one commit. `files` maps paths to contents.

    `gated` demands TOKEN. `cut_at` ends the next so many downloads after these bytes. `announced` are contents whose
    size and hash the hub announces instead of those that it sends. `status` answers everything with this status.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    gated: bool = False
    cut_at: list[int] = field(default_factory=list)
    announced: dict[str, bytes] = field(default_factory=dict)
    status: int = 0


@dataclass
class LoopbackHub:
    """The hub's repositories, its URL, and the (method, path, Range) of every request that it got."""

    url: str
    repos: dict[str, HubRepo]
    asked: list[tuple[str, str, str]] = field(default_factory=list)


def _handler(hub: LoopbackHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._route()

        def do_GET(self) -> None:
            self._route()

        def _route(self) -> None:
            path = self.path.partition("?")[0].strip("/")
            hub.asked.append((self.command, path, self.headers.get("Range", "")))
            if not path:
                return self._answer(200, b"a hub")
            parts = path.removeprefix("api/models/").split("/")
            repo = hub.repos.get("/".join(parts[:2]))
            sent = self.headers.get("Authorization", "").removeprefix("Bearer ")
            if sent not in ("", TOKEN):
                return self._refuse(401, "", "Invalid credentials in Authorization header")
            if repo is None:
                return self._refuse(401 if not sent else 404, "RepoNotFound", "Repository not found")
            if repo.status:
                return self._refuse(repo.status, "", "the hub is unwell")
            if repo.gated and sent != TOKEN:
                return self._refuse(401, "GatedRepo", "Access to this model is restricted")
            revision = parts[3] if len(parts) > 3 else "main"
            if revision not in ("main", COMMIT):
                return self._refuse(404, "RevisionNotFound", "Invalid rev id")
            if parts[2:3] == ["resolve"]:
                return self._file(repo, "/".join(parts[4:]))
            if parts[2:3] == ["tree"]:
                return self._answer(200, json.dumps([_row(*item) for item in repo.files.items()]).encode())
            about = {"id": "/".join(parts[:2]), "sha": COMMIT, "siblings": [{"rfilename": name} for name in repo.files]}
            return self._answer(200, json.dumps(about).encode())

        def _file(self, repo: HubRepo, name: str) -> None:
            if name not in repo.files:
                return self._refuse(404, "EntryNotFound", "Entry not found")
            data = repo.files[name]
            announced = repo.announced.get(name, data)
            etag = _sha256(announced) if _large(name) else hashlib.sha1(announced, usedforsecurity=False).hexdigest()
            headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
            if self.command == "HEAD":
                return self._answer(200, b"", headers, length=len(announced))
            begin = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").partition("-")[0])
            if begin:
                headers["Content-Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
            body, whole = data[begin:], len(data) - begin
            if repo.cut_at:
                body = body[: repo.cut_at.pop(0)]
                self.close_connection = True
            return self._answer(206 if begin else 200, body, headers, length=whole)

        def _refuse(self, status: int, code: str, message: str) -> None:
            told = {"X-Error-Message": message, "X-Repo-Commit": COMMIT} | ({"X-Error-Code": code} if code else {})
            self._answer(status, b"", told)

        def _answer(
            self, status: int, body: bytes, headers: dict[str, str] | None = None, *, length: int | None = None
        ) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body) if length is None else length))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    return Handler


def _large(name: str) -> bool:
    return name.endswith((".safetensors", ".bin", ".pth"))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _row(name: str, data: bytes) -> dict[str, Any]:
    row: dict[str, Any] = {"type": "file", "path": name, "size": len(data), "oid": "0" * 40}
    return row | ({"lfs": {"oid": _sha256(data), "size": len(data), "pointerSize": 130}} if _large(name) else {})


@contextmanager
def loopback_hub(**repos: HubRepo) -> Iterator[LoopbackHub]:
    """Serve the repositories on a free port of loopback. A name's double underscore stands for the slash."""
    hub = LoopbackHub("", {name.replace("__", "/"): repo for name, repo in repos.items()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


__all__ = ["COMMIT", "TOKEN", "HubRepo", "LoopbackHub", "loopback_hub"]
