"""`packshot shoot` of many photos: what fails is told, the rest goes on, and the way on is named."""

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from packshot.cli import batch, retries
from packshot.cli.batch import Batch, Order
from packshot.cli.progress import Progress
from packshot.cli.results import Results
from packshot.cli.shot_options import Layout, Marks
from packshot.cli.sources import Source
from packshot.contract.answers import VerdictAnswer
from packshot.errors import BadInput
from tests.api_graph import Api, png
from tests.cli_server import call, last_json, shoot


def test_wrong_files_in_a_folder_are_told_one_by_one(
    served: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "shoot"
    (folder / "shoes").mkdir(parents=True)
    for name in ("0.png", "1.png", "shoes/0.png"):
        (folder / name).write_bytes(png(48, 40, shade=len(name)))
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "cut.png").write_bytes(png()[:100])
    (folder / "text.webp").write_text("not a photo")
    (folder / "page.tif").write_bytes(b"%PDF-1.7 a page")
    (folder / "notes.txt").write_text("no picture by its name, so a folder leaves it out")
    result = shoot(served, monkeypatch, folder, "--background", "white", "--box", "5,5,40,35", "--canvas", "64x64")
    told = last_json(result)
    assert (result.exit_code, len(told["images"])) == (1, 3)
    codes = {os.path.basename(error["photo"]): error["code"] for error in told["errors"]}
    assert set(codes) == {"empty.jpg", "cut.png", "text.webp", "page.tif"}
    assert codes["empty.jpg"] == "photo_empty"
    for name in codes:
        assert f"{name}: " in result.stderr
    assert "(7 of 7)" in result.stderr
    assert (tmp_path / "out" / "shoes" / "0-01-seed0.png").exists()
    assert (tmp_path / "out" / "0-cutout.png").exists()


class QuickClient:
    """A client of no server: photos whose bytes are `wrong` are refused, and every shot is done at once."""

    def upload(self, data: bytes, media_type: str) -> SimpleNamespace:
        if data == b"wrong":
            raise BadInput("photo_empty", "a photo must have pixels, got none")
        return SimpleNamespace(id="ph", url="ph", notes=())

    def masks(self, photo_id: str, **prompts: object) -> list[SimpleNamespace]:
        return [SimpleNamespace(id="mk", url="mk", cutout_url="cut")]

    def shoot(self, request: object, *, idempotency_key: str) -> SimpleNamespace:
        return SimpleNamespace(id="sh")

    def events(self, shots: list[str]) -> Iterator[SimpleNamespace]:
        yield from ()

    def shot(self, shot: str) -> SimpleNamespace:
        image = SimpleNamespace(id="im", url="im", seed=0, verdict=VerdictAnswer(level="ok", findings=()))
        return SimpleNamespace(status="done", images=(image,))

    def download(self, url: str) -> bytes:
        return PIXEL


PIXEL = png(1, 1)


def test_a_batch_of_200_with_wrong_files_makes_the_rest(tmp_path: Path) -> None:
    sources = []
    for number in range(200):
        path = tmp_path / f"{number:03d}.jpg"
        path.write_bytes(b"wrong" if number % 50 == 7 else b"photo")
        sources.append(Source(path, path.stem))
    order = Order({}, ("on oak",), Marks(), Layout())
    made = Batch(QuickClient(), order, Results(tmp_path / "out"))  # type: ignore[arg-type]
    with Progress() as progress:
        outcomes = made.run(sources, progress)
    assert [outcome.source for outcome in outcomes] == sources
    assert [outcome.source.name for outcome in outcomes if not outcome.ok] == ["007", "057", "107", "157"]
    assert len(list((tmp_path / "out").glob("*-01-seed0.png"))) == 196


def test_patterns_and_equal_names_get_a_result_each(
    served: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, shade in (("a/mug.png", 1), ("b/mug.png", 2), ("b/mug.jpg", 3)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(png(shade=shade))
    result = shoot(served, monkeypatch, f"{tmp_path}/*/mug.*", "--background", "white", "--canvas", "64x64")
    assert result.exit_code == 0, result.output
    names = sorted(os.path.basename(image["path"]) for image in last_json(result)["images"])
    assert names == ["mug-jpg-01-seed0.png", "mug-png-01-seed0.png", "mug-png-2-01-seed0.png"]


def test_skip_done_goes_on_where_a_batch_stopped(served: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(png(shade=number))
    done = tmp_path / "out" / "1-01-seed0.png"
    done.parent.mkdir()
    done.write_bytes(b"kept")
    result = shoot(served, monkeypatch, folder, "--background", "white", "--skip-done", "--canvas", "64x64")
    assert result.exit_code == 0, result.output
    assert "1 of 3 photos are done" in result.stderr
    assert sorted(os.path.basename(row["photo"]) for row in last_json(result)["images"]) == ["0.png", "2.png"]
    assert done.read_bytes() == b"kept"


def test_a_key_that_is_revoked_while_working_stops_the_batch_and_says_how_to_go_on(
    served: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(9):
        (folder / f"{number:02d}.png").write_bytes(png(shade=number))
    key = served.store.keys.create("brand")
    monkeypatch.setattr(batch, "AT_ONCE", 1)
    kept = Results.keep_cut

    def revoke_after(results: Results, name: str, *files: bytes) -> None:
        kept(results, name, *files)
        if name == "04":
            served.store.keys.revoke(key.record.id)

    monkeypatch.setattr(Results, "keep_cut", revoke_after)
    monkeypatch.setenv("PACKSHOT_KEY", key.secret)
    options = ("--background", "white", "--canvas", "64x64", "--host", served.url, "--out", tmp_path / "out", "--json")
    result = call("shoot", folder, *options)
    told = last_json(result)
    assert (result.exit_code, len(told["images"]), told["not_tried"]) == (1, 5, 3)
    assert [error["code"] for error in told["errors"]] == ["unauthorized"]
    assert "--skip-done" in result.stderr


def test_a_full_disk_stops_the_batch(served: Api, monkeypatch: pytest.MonkeyPatch, photo: Path) -> None:
    (photo.parent / "out").write_text("a file where the folder should be: like a disk that refuses every write")
    result = shoot(served, monkeypatch, photo, "--background", "white")
    assert (result.exit_code, last_json(result)["error"]["code"]) == (1, "storage_full")
    assert "cannot be written" in result.stderr


def test_a_busy_server_is_asked_again(served: Api, monkeypatch: pytest.MonkeyPatch, photo: Path) -> None:
    from packshot.client import Client
    from packshot.errors import Overloaded

    upload, refusals = Client.upload, [Overloaded("busy", "wait", retry_after_s=0), Overloaded("busy", "wait")]

    def busy(client: Client, data: bytes, media_type: str) -> object:
        if refusals:
            raise refusals.pop(0)
        return upload(client, data, media_type)

    monkeypatch.setattr(Client, "upload", busy)
    monkeypatch.setattr(retries, "WAIT_S", 0.01)
    result = shoot(served, monkeypatch, photo, "--background", "white")
    assert (result.exit_code, refusals) == (0, [])
