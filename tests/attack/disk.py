"""A disk that is full at one write after the other. Nothing that was accepted may be lost."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from packshot.errors import StorageFull
from packshot.store import assets
from tests.api_graph import Api, png, running
from tests.attack.row import Figures, Row


def disk_full(rounds: int) -> Row:
    """Upload, cut, accept and finish a shot, `rounds` times; in each the next write of a file finds the disk full."""
    lost: list[str] = []
    odd: list[str] = []
    refused = 0
    with tempfile.TemporaryDirectory() as home, running(Path(home)) as api:
        for number in range(rounds):
            with full_at(number % 4) as hits:
                picture = png(96 + number % 64, 90, shade=number % 250)
                photo = _sent(api, odd, "/v1/photos", files={"file": ("a.png", picture, "image/png")})
                masks = _sent(api, odd, f"{photo['url']}/masks", json={"boxes": [[20, 20, 80, 60]]})
                body = {"layers": [{"mask_id": masks["masks"][0]["id"]}], "images": 2}
                shot = _sent(api, odd, "/v1/shots", json=body)["id"]
                claim = api.claim(shot)
                try:
                    api.commit(claim)
                except StorageFull:  # as the director does, while it holds the lease
                    api.commit(claim)
            refused += hits[0]
            found = api.http.get(f"/v1/shots/{shot}").json()
            files = [api.http.get(image["url"]).status_code for image in found.get("images", [])]
            if found["status"] != "done" or files != [200, 200]:
                lost.append(f"{shot} {found['status']} {files}")
    seen: Figures = {
        "lost": len(lost),
        "writes_refused": refused,
        "other_errors": len(odd),
        "first": (lost + odd + ["-"])[0],
    }
    return Row("disk", "0 lost; each refusal is a 507", rounds, not lost and not odd and refused > 0, seen)


def _sent(api: Api, odd: list[str], path: str, **options: Any) -> Any:
    """The answer to a POST, which is repeated after a 507. `odd` gets other refusals."""
    answer = api.http.post(path, **options)
    if not answer.is_success:
        if answer.status_code != 507 or answer.json()["code"] != "storage_full":
            odd.append(answer.text[:200])
        answer = api.http.post(path, **options)
    return answer.json()


@contextmanager
def full_at(write: int) -> Iterator[list[int]]:
    """Let one write of a file fail as on a full disk: the one after `write` others. Gives how many have failed."""
    original, count, hits = assets._write_local, 0, [0]

    def failing(*args: Any, **options: Any) -> None:
        nonlocal count
        count += 1
        if count == write + 1:
            hits[0] += 1
            raise OSError(errno.ENOSPC, "No space left on device")
        original(*args, **options)

    with patch.object(assets, "_write_local", failing):
        yield hits
