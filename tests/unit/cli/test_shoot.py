"""`packshot shoot`: photos, folders and patterns through a real server; what fails is told and the rest goes on."""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import Result

from packshot.cli import batch
from packshot.cli.batch import Batch, Order
from packshot.cli.progress import Progress
from packshot.cli.results import Results, verdict_words
from packshot.cli.shot_options import Layout, Marks
from packshot.cli.sources import Source
from packshot.contract.answers import VerdictAnswer
from packshot.errors import BadInput
from packshot.imaging.codec import encode_png, read_png
from tests.api_graph import Api, jpeg, png
from tests.cli_server import call, last_json, working


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with working(tmp_path_factory.mktemp("shoot")) as api:
        yield api


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "mug.jpg"
    path.write_bytes(jpeg())
    return path


def shoot(served: Api, monkeypatch: pytest.MonkeyPatch, photo: Path | str, *arguments: float | str | Path) -> Result:
    monkeypatch.setenv("PACKSHOT_KEY", served.key)
    out = (photo if isinstance(photo, Path) else Path(photo)).parent / "out"
    return call("shoot", photo, "--host", served.url, "--out", out, "--json", *arguments)


def request_of(served: Api, image: dict[str, str]) -> dict[str, Any]:
    return served.store.images.get(served.tenant_id, image["id"]).recipe.spec.to_json()


def test_shoot_writes_a_picture_per_prompt_and_seed(served: Api, monkeypatch: pytest.MonkeyPatch, photo: Path) -> None:
    result = shoot(
        served,
        monkeypatch,
        photo,
        "--prompt",
        "on marble",
        "--prompt",
        "on oak",
        "--box",
        "10,10,90,80",
        "-n",
        2,
        "--seed",
        7,
    )
    assert result.exit_code == 0, result.output
    told = last_json(result)
    names = [os.path.basename(image["path"]) for image in told["images"]]
    assert names == ["mug-01-seed7.png", "mug-02-seed8.png", "mug-03-seed7.png", "mug-04-seed8.png"]
    assert [image["seed"] for image in told["images"]] == [7, 8, 7, 8]
    assert {image["verdict"]["level"] for image in told["images"]} == {"ok"}
    assert {"upload", "mask", "shots", "download", "total"} <= set(told["timing_ms"])
    files = {path.name for path in (photo.parent / "out").iterdir()}
    assert files == {*names, "mug-cutout.png", "mug-mask.png", "mug-marked.jpg"}
    assert "on oak" in result.stderr


def test_shoot_says_what_was_assumed_about_the_photo(served: Api, monkeypatch: pytest.MonkeyPatch, photo: Path) -> None:
    misnamed = photo.with_suffix(".webp")
    misnamed.write_bytes(photo.read_bytes())
    result = shoot(served, monkeypatch, misnamed, "--background", "white", "--point", "50,40", "--canvas", "640x480")
    assert result.exit_code == 0, result.output
    assert [note["code"] for note in last_json(result)["notes"]] == ["type_by_bytes"]
    assert "mug.webp: the file claims to be WebP" in result.stderr


def test_shoot_on_white_needs_no_prompt(served: Api, monkeypatch: pytest.MonkeyPatch, photo: Path) -> None:
    result = shoot(served, monkeypatch, photo, "--background", "white", "--point", "50,40", "--canvas", "640x480")
    assert result.exit_code == 0, result.output
    assert len(last_json(result)["images"]) == 1


def test_shoot_takes_a_mask_file(served: Api, monkeypatch: pytest.MonkeyPatch, photo: Path) -> None:
    mask = np.zeros((90, 120), np.uint8)
    mask[20:60, 30:80] = 255
    file = photo.parent / "own.png"
    file.write_bytes(encode_png(mask))
    result = shoot(served, monkeypatch, photo, "--background", "white", "--mask", str(file))
    assert result.exit_code == 0, result.output
    cutout = read_png((photo.parent / "out" / "mug-cutout.png").read_bytes())
    assert abs(cutout.shape[0] - 40) <= 8
    assert abs(cutout.shape[1] - 50) <= 8


@pytest.mark.parametrize(
    "arguments", [("--mask", "gone.png"), ("--mask", __file__), ("--mask", __file__, "--box", "1,1,9,9")]
)
def test_a_mask_that_cannot_be_used_exits_with_2(
    served: Api, monkeypatch: pytest.MonkeyPatch, photo: Path, arguments: tuple[str, ...]
) -> None:
    assert shoot(served, monkeypatch, photo, "--background", "white", *arguments).exit_code == 2


def test_a_shot_that_fails_exits_with_1_and_keeps_what_was_made(
    served: Api, monkeypatch: pytest.MonkeyPatch, photo: Path
) -> None:
    result = shoot(served, monkeypatch, photo, "--prompt", "please fail", "--prompt", "on marble")
    assert result.exit_code == 1
    assert "engine_nan" in result.stderr
    assert [error["code"] for error in last_json(result)["errors"]] == ["engine_nan"]
    assert [image["prompt"] for image in last_json(result)["images"]] == ["on marble"]
    assert (photo.parent / "out" / "mug-01-seed0.png").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--prompt", "x", "--box", "1,2,3"),
        ("--prompt", "x", "--box", "a,b,c,d"),
        ("--prompt", "x", "--point", "1"),
        ("--prompt", "x", "--canvas", "1024"),
        ("--prompt", "x", "--canvas", "63x1024"),
        ("--prompt", "x", "--box", "10,10,900,80"),
        ("--prompt", "a" * 3000),
        ("--background", "blue"),
        ("--prompt", "x", "-n", "0"),
    ],
)
def test_what_the_api_or_the_command_refuses_exits_with_2(
    served: Api, monkeypatch: pytest.MonkeyPatch, photo: Path, arguments: tuple[str, ...]
) -> None:
    assert shoot(served, monkeypatch, photo, *arguments).exit_code == 2


def test_a_photo_that_is_none_exits_with_2(served: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a photo")
    cut = tmp_path / "cut.png"
    cut.write_bytes(png()[:100])
    for path in (text, cut, tmp_path / "missing.jpg", tmp_path):
        assert shoot(served, monkeypatch, path, "--background", "white").exit_code == 2, path


def test_the_mask_file_is_the_mask(served: Api, monkeypatch: pytest.MonkeyPatch, photo: Path) -> None:
    """Grey, of the photo's size, 255 on the product: `--mask` takes it again."""
    assert shoot(served, monkeypatch, photo, "--background", "white", "--box", "20,30,70,80").exit_code == 0
    with Image.open(photo.parent / "out" / "mug-mask.png") as mask:
        assert (mask.mode, mask.size) == ("L", (120, 90))
        pixels = np.asarray(mask)
    assert set(np.unique(pixels)) == {0, 255}
    assert (pixels[30:80, 20:70] == 255).all()
    again = shoot(served, monkeypatch, photo, "--background", "white", "--mask", photo.parent / "out" / "mug-mask.png")
    assert again.exit_code == 0, again.output


def test_every_recipe_option_reaches_the_shot(served: Api, monkeypatch: pytest.MonkeyPatch, photo: Path) -> None:
    options: list[str | float] = [
        "--prompt",
        "on oak",
        "--negative",
        "people",
        "--steps",
        5,
        "--guidance",
        3,
        "--control",
        0.5,
    ]
    options += ["--control-start", 0.1, "--control-end", 0.9, "--shadow", "none", "--engine", "second"]
    options += ["--priority", "catalogue", "--canvas", "640x512", "--seed", 9]
    result = shoot(served, monkeypatch, photo, *options)
    assert result.exit_code == 0, result.output
    (image,) = last_json(result)["images"]
    sent = request_of(served, image)
    del sent["layers"]
    assert sent == {
        "canvas": {"width": 640, "height": 512},
        "background": "generate",
        "prompt": "on oak",
        "negative_prompt": "people",
        "images": 1,
        "seed": 9,
        "steps": 5,
        "guidance_scale": 3,
        "control_scale": 0.5,
        "control_start": 0.1,
        "control_end": 0.9,
        "shadow": "none",
        "engine": "second",
        "priority": "catalogue",
    }


def test_a_layout_places_the_photo_and_further_products(
    served: Api, monkeypatch: pytest.MonkeyPatch, photo: Path, tmp_path: Path
) -> None:
    (tmp_path / "leaf.png").write_bytes(png())
    kept = served.mask()["id"]
    layers = [
        {"x": 0.4, "y": 0.5, "scale": 0.5},
        {"photo": "leaf.png", "boxes": [[5, 5, 60, 60]], "x": 0.8, "y": 0.8, "scale": 0.2, "flip": True},
        {"mask_id": kept, "x": 0.2, "y": 0.8, "scale": 0.1, "rotation_deg": 30},
    ]
    file = tmp_path / "layout.json"
    file.write_text(json.dumps({"canvas": {"width": 512, "height": 256}, "layers": layers}))
    result = shoot(served, monkeypatch, photo, "--background", "white", "--layout", file)
    assert result.exit_code == 0, result.output
    sent = request_of(served, last_json(result)["images"][0])
    assert sent["canvas"] == {"width": 512, "height": 256}
    mine, leaf, third = sent["layers"]
    assert (mine["x"], mine["scale"], leaf["flip"], leaf["x"]) == (0.4, 0.5, True, 0.8)
    assert (third["mask_id"], third["rotation_deg"]) == (kept, 30)
    assert len({mine["mask_id"], leaf["mask_id"], kept}) == 3


def test_a_layout_of_the_servers_masks_needs_no_photo(
    served: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PACKSHOT_KEY", served.key)
    text = json.dumps({"layers": [{"mask_id": served.mask()["id"], "x": 0.3}]})
    options = ("--background", "white", "--host", served.url, "--out", tmp_path / "out", "--json")
    result = call("shoot", "--layout", text, *options)
    assert result.exit_code == 0, result.output
    assert request_of(served, last_json(result)["images"][0])["layers"][0]["x"] == 0.3
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["shot-01-seed0.png"]
    assert call("shoot", "extra.jpg", "--layout", text, *options).exit_code == 2


@pytest.mark.parametrize(
    "text", ["{", "{}", '{"layers": []}', '{"layers": [1]}', '{"layers": [{"boxes": [[1, 2]]}]}', "missing.json"]
)
def test_a_layout_that_is_none_exits_with_2(text: str) -> None:
    result = call("shoot", __file__, "--background", "white", "--layout", text)
    assert result.exit_code == 2
    assert "--layout must" in result.stderr


def test_a_channel_gets_its_file_or_the_reason_why_not(
    served: Api, monkeypatch: pytest.MonkeyPatch, photo: Path
) -> None:
    small = ("--background", "white", "--canvas", "96x96")  # the size of the pictures that this server makes
    result = shoot(served, monkeypatch, photo, *small, "--preset", "shopify", "--preset", "zalando")
    told = last_json(result)
    (image,) = told["images"]
    delivered = image["delivered"]
    assert Path(delivered["shopify"]).name == "mug-01-seed0-shopify.jpg"
    assert Path(delivered["shopify"]).read_bytes().startswith(b"\xff\xd8\xff")
    assert result.exit_code == 1
    assert [error["code"] for error in told["errors"]] == ["preset_unmet"]
    assert Path(image["path"]).exists()


def test_a_warning_says_why() -> None:
    finding = {"check": "size", "level": "warning", "detail": "the product was enlarged 3 times", "value": 3.0}
    fine = {"check": "lock", "level": "ok", "detail": "no pixel differs", "value": 0}
    words = verdict_words({"level": "warning", "findings": [fine, finding]})
    assert words == "warning; size: the product was enlarged 3 times"


# many photos


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
    monkeypatch.setattr(batch, "WAIT_S", 0.01)
    result = shoot(served, monkeypatch, photo, "--background", "white")
    assert (result.exit_code, refusals) == (0, [])


# servers


def test_a_piped_command_says_what_it_waits_for(served: Api, monkeypatch: pytest.MonkeyPatch, photo: Path) -> None:
    result = shoot(served, monkeypatch, photo, "--background", "white")
    for words in ("waiting until", "mug: uploading", "mug: 1 picture"):
        assert words in result.stderr


def test_a_dead_host_is_refused_within_3_seconds(photo: Path) -> None:
    with socket.socket() as deaf:  # it accepts connections and never answers
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        for host in ("http://127.0.0.1:9", f"http://127.0.0.1:{deaf.getsockname()[1]}"):
            started_at = time.monotonic()
            result = call("shoot", photo, "--background", "white", "--host", host)
            assert time.monotonic() - started_at < 3.6
            assert (result.exit_code, "not_ready" in result.stderr, host in result.stderr) == (1, True, True)


def test_a_wrong_key_exits_with_1(served: Api, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACKSHOT_KEY", "pk_wrong")
    result = call("shoot", photo, "--background", "white", "--host", served.url)
    assert (result.exit_code, "unauthorized" in result.stderr) == (1, True)


@pytest.mark.parametrize("more", [("--in-process",), ("--cluster",)])
def test_two_servers_at_once_are_bad_usage(photo: Path, more: tuple[str, ...]) -> None:
    assert call("shoot", photo, "--background", "white", "--host", "http://127.0.0.1:9", *more).exit_code == 2


def test_a_running_server_is_used_and_a_left_over_file_is_not(
    served: Api, monkeypatch: pytest.MonkeyPatch, photo: Path, tmp_path: Path
) -> None:
    from packshot.cli.running import announced, find_running

    home = tmp_path / "home"
    monkeypatch.setenv("PACKSHOT_HOME", str(home))
    monkeypatch.setenv("PACKSHOT_KEY", served.key)
    assert find_running(home) is None
    ready, stop = threading.Event(), threading.Event()

    def server() -> None:  # filelock counts the locks of one thread, so it is another one that holds it
        with announced(home, served.url, opened=False):
            ready.set()
            stop.wait()

    thread = threading.Thread(target=server)
    thread.start()
    try:
        ready.wait()
        with announced(home, "http://127.0.0.1:1", opened=True) as first:
            assert first is False
        result = call("shoot", photo, "--background", "white", "--out", tmp_path / "out")
        assert result.exit_code == 0, result.output
        assert f"using the server {served.url}" in result.stderr
    finally:
        left_over = (home / "server.json").read_text()
        stop.set()
        thread.join()
    (home / "server.json").write_text(left_over)
    assert find_running(home) is None
    assert "No server runs" in call("down").stderr
