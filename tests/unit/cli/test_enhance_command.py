"""`packshot enhance`, on a server whose director paints grey."""

from __future__ import annotations

from pathlib import Path

import pytest

from packshot.imaging.codec import read_png
from packshot.types import Detection
from tests.adapter_files import peft_file
from tests.api_graph import Api, png
from tests.cli_server import call, last_json
from tests.unit.api.test_adapters_api import LORA, added
from tests.unit.cli.test_clip_command import filming

__all__ = ["filming"]


def test_a_folder_is_run_through_and_photos_without_the_product_are_skipped(
    filming: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACKSHOT_KEY", filming.key)
    filming.graph.shown = {"mug": (Detection((20, 20, 100, 80), 0.9),), "lamp": ()}
    folder, out = tmp_path / "photos", tmp_path / "out"
    folder.mkdir()
    (folder / "a.png").write_bytes(png(shade=50))
    (folder / "broken.png").write_bytes(b"no picture")
    done = call("enhance", folder, "--text", "mug", "--prompt", "a mug", "-o", out, "--host", filming.url, "--json")
    assert done.exit_code == 1, done.stderr  # one photo is broken
    states = {Path(str(row["photo"])).name: row["state"] for row in last_json(done)["photos"]}
    assert states == {"a.png": "done", "broken.png": "failed"}
    before, after = read_png(png(shade=50)), read_png((out / "a-product.png").read_bytes())
    assert (after[:10] == before[:10]).all()
    assert (after[45:55, 50:70] != before[45:55, 50:70]).any()
    skipped = call("enhance", folder / "a.png", "--text", "lamp", "-o", out, "--host", filming.url)
    assert skipped.exit_code == 0
    assert "skipped: the photo must show the product" in skipped.stderr


def test_an_option_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    result = call("enhance", tmp_path / "a.png", "--target", "label")
    assert result.exit_code == 2
    assert "--target: input should be 'product', 'scene' or 'all', got 'label'" in result.stderr
    result = call("enhance", tmp_path / "a.png", "--adapter", "ad_1:much")
    assert result.exit_code == 2
    assert "--adapter" in result.stderr


def test_a_product_is_painted_from_an_angle_that_its_photos_lack(
    filming: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACKSHOT_KEY", filming.key)
    for shade in (60, 70):
        (tmp_path / f"{shade}.png").write_bytes(png(shade=shade))
    adapter, out = added(filming, peft_file(LORA, {"packshot.tag": "zxmug"}))["id"], tmp_path / "out"
    ask = ("angle", tmp_path, "--adapter", f"{adapter}:0.9", "--engine", "second", "--size", 96, "--host", filming.url)
    done = call(*ask, "--prompt", "zxmug from above", "-o", out, "--json")
    assert done.exit_code == 0, done.stderr
    assert "product: generated" in done.stderr
    (picture,) = last_json(done)["pictures"]
    assert picture["image"]["verdict"]["product"] == "generated"
    assert read_png((out / "angle-1.png").read_bytes()).shape == (96, 96, 3)
    unnamed = call(*ask, "--prompt", "a mug", "-o", out)
    assert unnamed.exit_code == 2
    assert "must hold its adapter's trigger (zxmug)" in unnamed.stderr
    refused = call("angle", tmp_path, "--adapter", adapter, "--prompt", "x", "-n", 0)
    assert refused.exit_code == 2
    assert "--images: input should be greater than or equal to 1, got 0" in refused.stderr
