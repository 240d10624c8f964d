"""Generators and gateways, each with its producer, are killed while a catalogue runs through the real cluster: no row
is lost, no picture is painted twice, and every file is written once."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from packshot.store.catalogue_tables import catalogue_file, catalogue_shot
from packshot.store.database import Database
from packshot.store.schema import image, shot
from packshot.store.schema_files import delivered_file


@pytest.mark.parametrize(
    ("rows", "kills"),
    [(12, [("generator", "gateway")]), pytest.param(300, [("generator",), ("gateway",)] * 3, marks=pytest.mark.soak)],
)
@pytest.mark.timeout(1800)
def test_a_catalogue_survives_generators_and_gateways_that_are_killed(
    http: httpx.Client,
    home: Path,
    routes: Path,
    coffee: dict[str, Any],
    cup: dict[str, Any],
    replica_pids: Callable[[], dict[str, list[int]]],
    rows: int,
    kills: list[tuple[str, ...]],
) -> None:
    out = routes / f"killed-{rows}"
    manifest = {
        "name": f"killed {rows}",
        "defaults": {"canvas": [128, 128], "steps": 2},
        "axes": [{"name": "scene", "values": {"marble": "on marble"}}],
        "deliver": [{"preset": "shopify", "name": "{sku}.{ext}", "to": out.as_uri()}],
        "items": [{"sku": f"S{n:04}", "photo": coffee["id"], "mask": cup["id"]} for n in range(rows)],
    }
    made = http.post("/v1/catalogues", json=manifest)
    assert made.status_code == 201, made.text
    catalogue = made.json()["id"]
    assert http.post(f"/v1/catalogues/{catalogue}/start").status_code == 202
    give_up_at = time.monotonic() + 1500
    killed = 0
    while (seen := present(http, catalogue))["state"] != "done":
        assert time.monotonic() < give_up_at, seen
        # all within the first 30 %, and each one of those that serve by then
        if killed < len(kills) and seen["counts"]["done"] >= rows * 0.3 * (killed + 1) / len(kills):
            pids = replica_pids()
            if victims := [pid for name in kills[killed] for pid in pids.get(name, ())]:
                for pid in victims:
                    os.kill(pid, signal.SIGKILL)
                killed += 1
        time.sleep(0.1)
    assert killed == len(kills)
    assert seen["counts"] == {"waiting": 0, "running": 0, "done": rows, "failed": 0, "skipped": 0}
    assert made_of(home, catalogue) == {"shots": {"done": rows}, "images": rows, "files": {"made": rows}, "sent": rows}
    assert sorted(file.name for file in out.iterdir()) == [f"S{n:04}.jpg" for n in range(rows)]


def present(http: httpx.Client, catalogue: str) -> Any:
    """The catalogue, as soon as a gateway answers."""
    give_up_at = time.monotonic() + 300
    while True:
        try:
            answer = http.get(f"/v1/catalogues/{catalogue}")
        except httpx.TransportError:
            answer = None
        if answer is not None and answer.status_code == 200:
            return answer.json()
        assert time.monotonic() < give_up_at, answer
        time.sleep(0.1)


def made_of(home: Path, catalogue: str) -> dict[str, Any]:
    """What the database has of a catalogue: its shots and files by state, pictures, and files that were delivered."""
    opened = Database(f"sqlite:///{home / 'packshot.sqlite'}")
    own = select(catalogue_shot.c.shot_id).where(catalogue_shot.c.catalogue_id == catalogue)
    files = catalogue_file.c.catalogue_id == catalogue
    try:
        with opened.read() as connection:
            images = connection.execute(select(image.c.id).where(image.c.shot_id.in_(own))).scalars().all()
            sent = select(delivered_file.c.id).where(delivered_file.c.image_id.in_(images))
            return {
                "shots": Counter(connection.execute(select(shot.c.status).where(shot.c.id.in_(own))).scalars()),
                "images": len(images),
                "files": Counter(connection.execute(select(catalogue_file.c.state).where(files)).scalars()),
                "sent": len(connection.execute(sent).all()),
            }
    finally:
        opened.close()
