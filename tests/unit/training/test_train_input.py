"""What a training refuses, before it starts anything that takes long."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from packshot.cli import app
from packshot.errors import BadInput
from packshot.models.packs.pack import find_pack
from packshot.settings import Settings
from packshot.training import dataset as datasets
from packshot.training.dataset import read_items, read_pictures, with_tag
from packshot.training.spec import Schedule, TrainingSpec, check_tag
from tests.unit.training.conftest import draw_dataset


def refused(match: str) -> Any:
    return pytest.raises(BadInput, match=match)


def test_the_published_recipe_has_1950_steps() -> None:
    schedule = Schedule(pictures=65, repeats=6, batch=2, epochs=10)
    assert (schedule.steps_per_epoch, schedule.steps) == (195, 1_950)
    seen = [picture for step in range(195) for picture in schedule.pictures_of(step)]
    assert sorted(seen) == sorted(list(range(65)) * 6)
    assert schedule.pictures_of(0) != schedule.pictures_of(195)


def test_an_odd_epoch_ends_with_a_whole_batch() -> None:
    schedule = Schedule(pictures=3, repeats=1, batch=2, epochs=1)
    assert schedule.steps == 2
    assert len(schedule.pictures_of(1)) == 2


def test_too_few_and_too_many_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    three = draw_dataset(tmp_path / "three", 3)
    with refused("lora needs at least 4 pictures, got 3"):
        read_items(three, "lora")
    assert len(read_items(three, "dreambooth")) == 3
    many = tmp_path / "many"
    many.mkdir()
    assert datasets.MOST == 10_000
    monkeypatch.setattr(datasets, "MOST", 9)
    for index in range(10):
        (many / f"{index}.jpg").touch()
    with refused("at most 9 pictures, got 10"):
        read_items(many, "lora")


def test_a_folder_without_pictures(tmp_path: Path) -> None:
    with refused("must hold pictures"):
        read_items(tmp_path, "lora")
    with refused("must be a folder"):
        read_items(tmp_path / "absent", "lora")


def test_pictures_without_captions_are_named(tmp_path: Path) -> None:
    folder = draw_dataset(tmp_path, 4)
    (folder / "2.txt").unlink()
    (folder / "3.txt").write_text("  \n")
    with refused(r"2 of 4 have none \(2.png, 3.png\).*packshot train captions"):
        read_items(folder, "lora")
    assert [item.caption for item in read_items(folder, "lora", "a mug")][1:3] == ["soft marble table", "a mug"]
    (folder / "2.txt").write_bytes(b"\xff\xfe\xff")
    with refused("must be UTF-8"):
        read_items(folder, "lora")


def test_corrupt_pictures_are_named(tmp_path: Path) -> None:
    folder = draw_dataset(tmp_path, 4, masks=True)
    whole = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(whole[: len(whole) // 2])
    (folder / "3.png").write_text("no picture")
    with refused(r"2 of 4 are not: 1.png \(.*; 3.png \("):
        read_pictures(read_items(folder, "lora"), 64)


def test_pictures_fill_a_square_with_their_masks(tmp_path: Path) -> None:
    one = read_pictures(read_items(draw_dataset(tmp_path, 4, masks=True), "lora"), 32)[0]
    assert one.pixels.shape == (32, 32, 3)
    assert one.mask is not None
    assert (one.mask[16, 16], one.mask[0, 0]) == (255, 0)


def test_a_tag_is_put_before_captions_that_lack_it() -> None:
    assert with_tag("a mug on wood", "acme7") == "acme7, a mug on wood"
    assert with_tag("an acme7 mug", "acme7") == "an acme7 mug"
    assert with_tag("a mug", "") == "a mug"


def test_a_tag_that_the_pack_knows_is_refused() -> None:
    tokenizer = find_pack("mini", Settings()).tokenizer()
    check_tag("acmelook7", tokenizer)
    check_tag("", tokenizer)
    for word in ("marble", "marbles", "soft"):
        with refused("must be no word of the pack's vocabulary"):
            check_tag(word, tokenizer)


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"rank": 0}, "--rank must be 1 to 128"),
        ({"batch": 0}, "--batch must be"),
        ({"epochs": 0}, "--epochs must be"),
        ({"size_px": 100}, "--size must be"),
        ({"tag": "two words"}, "must be one word"),
        ({"name": "Über"}, "--name must be"),
        ({"kind": "inversion"}, "needs --tag"),
        ({"kind": "dreambooth", "tag": "acme7"}, "needs --class-words"),
    ],
)
def test_values_out_of_range(fields: dict[str, Any], match: str) -> None:
    given: dict[str, Any] = {"kind": "lora", "name": "acme", "pack": "mini", "pictures": Path()}
    with refused(match):
        TrainingSpec(**(given | fields))


def call(*args: str) -> Result:
    return CliRunner().invoke(app, args)


@pytest.mark.usefixtures("with_tiny_packs")
class TestTheCommand:
    def test_ctrl_c_ends_it_after_its_step_and_the_same_command_goes_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder, out = draw_dataset(tmp_path / "pictures", 4), tmp_path / "acme"
        options = ("--repeats", "1", "--epochs", "2", "--batch", "4", "--rank", "2")
        command = ("train", "lora", str(folder), "--out", str(out), "--pack", "tiny-mini", "--in-process", "--json")
        draw, before = Schedule.pictures_of, signal.getsignal(signal.SIGINT)

        def interrupted(self: Schedule, step: int) -> list[int]:
            if step == 0:
                signal.raise_signal(signal.SIGINT)
            return draw(self, step)

        monkeypatch.setattr(Schedule, "pictures_of", interrupted)
        result = call(*command, *options)
        assert result.exit_code == 1, result.stderr
        assert "stopping after this step" in result.stderr
        assert "it was stopped; run the same command again" in result.stderr
        assert signal.getsignal(signal.SIGINT) == before
        assert (out / "acme.safetensors").is_file()  # a part of a training is of use
        result = call(*command, *options)
        assert result.exit_code == 0, result.stderr
        answer = json.loads(result.stdout.splitlines()[-1])
        assert (answer["steps"], answer["ended"]) == (2, "whole")
        assert "4 pictures x 1 repeats / batch 4 = 1 steps an epoch, x 2 epochs = 2 steps" in result.stderr
        made = {path.name for path in out.iterdir()}
        assert made >= {"acme.safetensors", "acme.kohya.safetensors", "loss.png", "metrics.jsonl", "checks.jsonl"}

    @pytest.mark.parametrize(
        ("options", "code"),
        [
            (("--pack", "klein"), "engine_cannot"),
            (("--pack", "tiny-mini", "--tag", "marble"), "tag_refused"),
            (("--pack", "tiny-mini", "--workers", "2"), "bad_usage"),
            (("--pack", "absent"), "pack_unknown"),
        ],
    )
    def test_it_refuses_with_a_code(self, options: tuple[str, ...], code: str, tmp_path: Path) -> None:
        folder = draw_dataset(tmp_path / "pictures", 4)
        result = call("train", "lora", str(folder), "--out", str(tmp_path / "acme"), "--in-process", *options)
        assert result.exit_code == 2, result.stderr
        assert f"[{code}]" in result.stderr
