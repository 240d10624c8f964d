"""`packshot catalogue run`, `status`, `retry` and `fetch` against a server. The producer's pixels are simulated."""

from __future__ import annotations

import csv
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from packshot.catalogue.rows import item_of
from tests.api_graph import Api, jpeg, png
from tests.cli_server import call, last_json, working
from tests.unit.store.catalogue_steps import accept_all, collect

LOOK = """\
name: spring
axes: [{name: scene, values: {marble: on marble}}]
deliver: [{preset: shopify, name: "{sku}-{n}.{ext}", to: shop}]
"""


class Producer(threading.Thread):
    """Does a producer's steps until it is stopped, without pixels: rows whose photo is corrupt fail."""

    def __init__(self, api: Api) -> None:
        super().__init__()
        self._api = api
        self._mask = api.mask()["id"]
        self._stop_wanted = threading.Event()
        self.start()

    def run(self) -> None:
        work = self._api.store.catalogue_work
        while not self._stop_wanted.wait(0.15):
            for record in work.claim("producer", 30.0):
                work.open_rows(record.id, 64)
                for row in work.rows_to_cut(record.id):
                    photo = item_of(row.item or "").photo or ""
                    known = self._api.store.catalogue_photos.at(record.id, photo, "photo")
                    if known is not None and known.code is not None:
                        work.end_row(record.id, row.place, "failed", known.code, known.detail or "")
                accept_all(self._api.store, record, self._mask)
                collect(self._api.store, record)

    def stop(self) -> None:
        self._stop_wanted.set()
        self.join()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with working(tmp_path_factory.mktemp("catalogues")) as api:
        producer = Producer(api)
        try:
            yield api
        finally:
            producer.stop()


@pytest.fixture
def folder(tmp_path: Path, served: Api, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two photos, a sheet and a look."""
    monkeypatch.setenv("PACKSHOT_KEY", served.key)
    monkeypatch.setattr("packshot.cli.catalogue_run.EVERY_S", 0.2)
    folder = tmp_path / "spring"
    (folder / "photos").mkdir(parents=True)
    (folder / "photos" / "mug.jpg").write_bytes(jpeg())
    (folder / "photos" / "ring.png").write_bytes(png(shade=9))
    (folder / "sheet.csv").write_text("sku;photo\nMUG;photos/mug.jpg\nRING;photos/ring.png\n", "utf-8")
    (tmp_path / "look.yaml").write_text(LOOK, "utf-8")
    return folder


def run(served: Api, folder: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    """Run the sheet of a folder. Returns the exit code, the JSON, and what people read."""
    out = folder.parent / "out"
    look = folder.parent / "look.yaml"
    given: list[Path | float | str] = ["--look", look, "--host", served.url, "--out", out, "--json", *options]
    result = call("catalogue", "run", folder / "sheet.csv", *given)
    assert result.stdout, result.stderr
    return result.exit_code, last_json(result), result.stderr


def test_a_sheet_becomes_files_and_a_second_run_makes_nothing_again(served: Api, folder: Path) -> None:
    out = folder.parent / "out"
    code, answer, told = run(served, folder)
    assert (code, answer.get("state")) == (0, "done"), told
    assert answer["counts"] == {"waiting": 0, "running": 0, "done": 2, "failed": 0, "skipped": 0}
    assert sorted(path.name for path in (out / "shop").iterdir()) == ["MUG-0-1.jpg", "RING-0-1.jpg"]
    rows = list(csv.DictReader((out / "manifest.csv").read_text("utf-8").splitlines()))
    assert [(row["row"], row["sku"], row["state"]) for row in rows] == [("2", "MUG", "done"), ("3", "RING", "done")]
    assert "photos: 2 of 2 sent" in told
    assert "the catalogue is done: 2 rows done, 0 failed, 0 skipped" in told
    before = served.http.get("/v1/catalogues").json()["catalogues"]
    again, same, told = run(served, folder)
    assert (again, same["id"]) == (0, answer["id"])
    assert served.http.get("/v1/catalogues").json()["catalogues"] == before
    assert "sent" not in told
    (folder / "sheet.csv").write_text("sku;photo\nOTHER;photos/mug.jpg\n", "utf-8")
    photos = served.http.get("/v1/photos").json()["photos"]
    code, other, _ = run(served, folder)
    assert (code, other["state"], other["id"] == answer["id"]) == (0, "done", False)
    assert served.http.get("/v1/photos").json()["photos"] == photos  # the photo was linked by its hash


def test_a_corrupt_photo_fails_its_row_alone_and_retry_mends_it(served: Api, folder: Path) -> None:
    (folder / "photos" / "mug.jpg").write_bytes(jpeg()[:300])
    code, answer, told = run(served, folder)
    assert code == 1
    assert [(row["row"], row["code"]) for row in answer["failed"]] == [(2, "photo_unreadable")]
    assert told.index("photos/mug.jpg: ") < told.index("row 2, MUG: ") < told.index("the catalogue is done")
    assert [Path(path).name for path in answer["files"]] == ["RING-0-1.jpg"]
    status = call("catalogue", "status", folder / "sheet.csv", "--host", served.url, "--out", folder.parent / "out")
    assert status.exit_code == 1
    assert "photo_unreadable" in status.stderr
    mended = {"path": "photos/mug.jpg"}
    served.http.put(f"/v1/catalogues/{answer['id']}/photos", params=mended, content=jpeg()).raise_for_status()
    again = call("catalogue", "retry", answer["id"], "--host", served.url, "--out", folder.parent / "out", "--json")
    assert (again.exit_code, last_json(again)["counts"]["done"]) == (0, 2), again.stderr


def test_a_manifest_with_problems_is_refused_or_its_rows_are_skipped(served: Api, folder: Path) -> None:
    text = "sku;photo\nMUG;photos/mug.jpg\nGONE;photos/gone.jpg\nMUG;photos/ring.png\n"
    (folder / "sheet.csv").write_text(text, "utf-8")
    before = served.http.get("/v1/catalogues").json()["catalogues"]
    code, answer, told = run(served, folder)
    assert (code, answer["error"]["code"]) == (2, "manifest_refused")
    assert "photo_missing" in told
    assert "a SKU may occur once" in told
    assert served.http.get("/v1/catalogues").json()["catalogues"] == before
    code, answer, told = run(served, folder, "--on-problem", "skip")
    assert code == 0, told  # the other row was made
    assert answer["failed"] == []
    left_out = [(row["row"], row["code"]) for row in answer["skipped"]]
    assert left_out == [(3, "photo_missing"), (4, "invalid_request")]
    assert "photos/gone.jpg" in answer["skipped"][0]["detail"]
    assert [Path(path).name for path in answer["files"]] == ["MUG-0-1.jpg"]


def test_wrong_calls_of_fetch_and_status_are_refused(served: Api, folder: Path) -> None:
    given: list[Path | str] = ["--host", served.url, "--out", folder.parent / "none"]
    wrong = call("catalogue", "fetch", "ct_x", "--feed", "shopify", *given)
    assert (wrong.exit_code, "--published-at" in wrong.stderr) == (2, True)
    unknown = call("catalogue", "status", folder, *given)
    assert (unknown.exit_code, "must hold what" in unknown.stderr) == (2, True)
    gone = call("catalogue", "fetch", "ct_x", *given)
    assert (gone.exit_code, "not_found" in gone.stderr) == (2, True)


def test_a_plan_on_the_server_knows_the_servers_times_and_photos(served: Api, folder: Path) -> None:
    (folder / "sheet.csv").write_text("sku;photo\nMUG;photos/mug.jpg\nX;ph_gone\nY;photos/gone.jpg\n", "utf-8")
    result = call(
        *("catalogue", "plan", folder / "sheet.csv", "--scene", "m=on marble", "--host", served.url, "--json")
    )
    answer = last_json(result)
    assert result.exit_code == 2
    assert [(one["row"], one["code"]) for one in answer["problems"]] == [(3, "photo_missing"), (4, "photo_missing")]
