"""The API in a process of its own, with everything that a tenant can own. The attack talks to it over loopback."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from unittest.mock import patch

import httpx

from tests.api_graph import BoxGraph, png, running
from tests.waiting import WAIT_S


@dataclass(frozen=True)
class Target:
    """The server's base URL and process, the keys of two tenants, and the ids of what the first one owns."""

    url: str
    pid: int
    key: str
    stranger: str
    ids: dict[str, str]
    live_shot: str

    def client(self, key: str | None) -> httpx.Client:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=WAIT_S, trust_env=False)


@contextmanager
def target() -> Iterator[Target]:
    """Start the server, and stop it when the block ends."""
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "tests.attack.target", home]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            assert process.stdout is not None
            yield Target(**json.loads(process.stdout.readline()))
        finally:
            process.communicate(timeout=120)  # it ends when its stdin closes


async def _as_a_real_graph(self: BoxGraph, timeout_s: float) -> None:
    """No shot ends here. The graph of the unit tests wakes the poll of the streams fifty times a second."""
    await asyncio.sleep(timeout_s)


def serve(home: Path) -> None:
    """Serve until stdin closes. Prints the target as a line of JSON."""
    with running(home) as api, patch.object(BoxGraph, "wait_for_any_completion", _as_a_real_graph):
        photo, mask = api.photo(), api.mask()
        image = api.finish(api.shot())["images"][0]
        ids = {"photo_id": photo["id"], "mask_id": mask["id"], "image_id": image["id"], "shot_id": api.shot()}
        ids["project_id"] = api.http.post("/v1/projects", json={"name": "secret spring"}).json()["id"]
        style = {"name": "secret style", "prompt": "on secret marble", "image_id": image["id"]}
        made = api.http.post("/v1/styles", json=style)
        if made.status_code == 201:
            ids["style_id"] = made.json()["id"]
        stranger = api.store.keys.create("stranger").secret
        api.stranger.post("/v1/photos", files={"file": ("a.png", png(shade=77), "image/png")})
        print(json.dumps(asdict(Target(api.url, os.getpid(), api.key, stranger, ids, ids["shot_id"]))), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
