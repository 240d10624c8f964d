"""The `packshot` command as people and scripts use it: exit codes, stdout for machines, stderr for people."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner, Result

from packshot.cli import app
from packshot.cli.console import exit_code_of
from packshot.cli.serve import open_access
from packshot.errors import BadInput, EngineFailed, NotFound, PackRefused, TooLarge, Unauthorized, Unavailable
from packshot.imaging.codec import encode_png, read_png
from tests.api_graph import Api, jpeg, png, running


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PACKSHOT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PACKSHOT_OPEN_ACCESS", raising=False)
    return tmp_path / "home"


def call(*arguments: Path | int | str) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def last_json(result: Result) -> dict[str, Any]:
    return json.loads(result.stdout.splitlines()[-1])


def test_importing_the_commands_loads_nothing_heavy() -> None:
    heavy = {"torch", "ray", "fastapi", "sqlalchemy", "numpy", "httpx", "diffusers", "cv2"}
    code = f"import sys, packshot.cli; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("arguments", [(), ("shot",), ("shoot",), ("serve", "--port", "70000"), ("config", "--nope")])
def test_bad_usage_exits_with_2(arguments: tuple[str, ...]) -> None:
    assert call(*arguments).exit_code == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadInput("photo_empty", ""), 2),
        (TooLarge("body_too_large", ""), 2),
        (NotFound("not_found", ""), 2),
        (PackRefused("pack_unknown", ""), 2),
        (PackRefused("pack_corrupt", ""), 1),
        (EngineFailed("engine_nan", ""), 1),
        (Unavailable("not_ready", ""), 1),
        (Unauthorized("unauthorized", ""), 1),
    ],
)
def test_refused_input_exits_with_2_and_failure_with_1(error: Any, code: int) -> None:
    assert exit_code_of(error) == code


# keys


def test_a_new_key_is_the_only_thing_on_stdout(home: Path) -> None:
    result = call("keys", "create", "Brand & Co")
    assert result.exit_code == 0
    assert result.stdout.startswith("pk_")
    assert len(result.stdout.split()) == 1
    assert "shown only this once" in result.stderr


def test_keys_are_listed_without_secrets_and_revoked_by_id(home: Path) -> None:
    secret = last_json(call("keys", "create", "brand", "--json"))["key"]
    listed = call("keys", "list", "--json")
    (row,) = last_json(listed)["keys"]
    assert (row["tenant"], row["revoked_at"]) == ("brand", None)
    assert secret not in listed.output
    assert call("keys", "revoke", row["id"]).exit_code == 0
    assert last_json(call("keys", "list", "--json"))["keys"][0]["revoked_at"] is not None


def test_revoking_an_unknown_key_exits_with_2_and_says_why(home: Path) -> None:
    result = call("keys", "revoke", "ky_unknown", "--json")
    assert result.exit_code == 2
    assert "not_found" in result.stderr
    assert last_json(result)["error"]["code"] == "not_found"


# packs, config, serve


def test_packs_are_listed_with_their_state(home: Path) -> None:
    result = call("packs", "list", "--json")
    names = [pack["name"] for pack in last_json(result)["packs"]]
    assert result.exit_code == 0
    assert {"sd15", "sd2", "sdxl"} <= set(names)
    assert "sd15" in result.stderr


def test_a_pack_is_shown_and_an_unknown_one_exits_with_2(home: Path) -> None:
    assert last_json(call("packs", "show", "sd15", "--json"))["name"] == "sd15"
    result = call("packs", "show", "nothing")
    assert (result.exit_code, "pack_unknown" in result.stderr) == (2, True)


def test_verifying_a_pack_whose_files_are_missing_exits_with_1(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(home / "hub"))
    result = call("packs", "verify", "sd15", "--json")
    told = last_json(result)
    assert (result.exit_code, told["ok"]) == (1, False)
    assert {row["status"] for row in told["files"]} == {"missing"}


def test_config_prints_yaml_that_serve_takes(home: Path) -> None:
    result = call("config", "--profile", "laptop")
    assert yaml.safe_load(result.stdout)["applications"][0]["import_path"] == "graphs.product_shot:app"
    assert call("config", "--profile", "nowhere").exit_code == 2


@pytest.mark.parametrize(
    ("host", "wish", "opened"),
    [("127.0.0.1", None, True), ("::1", "true", True), ("localhost", "false", False), ("0.0.0.0", None, False)],
)
def test_only_a_loopback_host_is_served_without_keys(
    monkeypatch: pytest.MonkeyPatch, host: str, wish: str | None, opened: bool
) -> None:
    monkeypatch.delenv("PACKSHOT_OPEN_ACCESS", raising=False)
    if wish:
        monkeypatch.setenv("PACKSHOT_OPEN_ACCESS", wish)
    assert open_access(host) is opened


def test_open_access_on_another_host_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACKSHOT_OPEN_ACCESS", "1")
    assert call("serve", "--host", "0.0.0.0").exit_code == 2


# shoot


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server whose shots are finished by a worker thread; prompts with `fail` in them fail."""
    stop = threading.Event()
    with running(tmp_path_factory.mktemp("shoot")) as api:

        def work() -> None:
            while not stop.wait(0.05):
                while (claim := api.store.queue.claim("worker")) is not None:
                    if "fail" in claim.spec.prompt:
                        api.store.queue.fail(claim, "engine_nan", "not a number", retryable=False)
                        continue
                    api.store.queue.heartbeat(claim, step=8, steps=16)
                    api.commit(claim)

        worker = threading.Thread(target=work)
        worker.start()
        yield api
        stop.set()
        worker.join()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "mug.jpg"
    path.write_bytes(jpeg())
    return path


def shoot(served: Api, monkeypatch: pytest.MonkeyPatch, photo: Path, *arguments: int | str) -> Result:
    monkeypatch.setenv("PACKSHOT_KEY", served.key)
    return call("shoot", photo, "--host", served.url, "--out", photo.parent / "out", "--json", *arguments)


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
    assert files == {*names, "mug-cutout.png", "mug-mask.png"}
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


def test_a_server_that_is_not_there_exits_with_1(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("packshot.client.Client.wait_ready.__defaults__", (0.1,))
    result = call("shoot", photo, "--background", "white", "--host", "http://127.0.0.1:9")
    assert (result.exit_code, "not_ready" in result.stderr) == (1, True)


def test_a_wrong_key_exits_with_1(served: Api, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACKSHOT_KEY", "pk_wrong")
    result = call("shoot", photo, "--background", "white", "--host", served.url)
    assert (result.exit_code, "unauthorized" in result.stderr) == (1, True)
