"""`packshot shoot` of one photo: its options, its layout and its files, through a real server."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from packshot.cli.results import verdict_words
from packshot.imaging.codec import encode_png, read_png
from packshot.types import Detection
from tests.api_graph import Api, png
from tests.cli_server import call, last_json, shoot


def request_of(served: Api, image: dict[str, str]) -> dict[str, Any]:
    return served.store.images.get(served.tenant_id, image["id"]).recipe.spec.to_json()


def test_words_that_the_engine_leaves_out_are_named_before_it_paints(
    served: Api, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = shoot(served, monkeypatch, photo, "--prompt", "zorbly on marble")
    assert done.exit_code == 0, done.stderr
    assert "packshot: prompt 'zorbly on marble': unknown words were left out: zorbly" in done.stderr
    plain = shoot(served, monkeypatch, photo, "--background", "white", "--prompt", "zorbly")
    assert "were left out" not in plain.stderr


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


def test_shoot_for_a_channel_with_a_white_background_meets_its_rules_without_further_options(
    served: Api, monkeypatch: pytest.MonkeyPatch, photo: Path
) -> None:
    """Amazon's main image: no shadow, and a product over 85 % of the frame. Options that are given come first."""
    channel = ("--background", "white", "--preset", "amazon-main")
    (image,) = last_json(shoot(served, monkeypatch, photo, *channel))["images"]
    request = request_of(served, image)
    assert request["shadow"] == "none"
    assert request["layers"][0]["scale"] == 0.88
    (image,) = last_json(shoot(served, monkeypatch, photo, *channel, "--shadow", "cast"))["images"]
    assert request_of(served, image)["shadow"] != "none"
    (image,) = last_json(shoot(served, monkeypatch, photo, *channel, "--canvas", "640x480"))["images"]
    assert request_of(served, image)["layers"][0]["scale"] == 0.6


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
    options += ["--control-start", 0.1, "--control-end", 0.9, "--shadow-direction", 90, "--reflection", 0.4]
    options += ["--relight", 0.3, "--retry", "2:floating,scene", "--must-read", "30 ml", "--master", str(photo)]
    options += ["--engine", "second"]
    options += ["--priority", "catalogue", "--canvas", "640x512", "--seed", 9]
    result = shoot(served, monkeypatch, photo, *options)
    assert result.exit_code == 0, result.output
    (image,) = last_json(result)["images"]
    sent = request_of(served, image)
    del sent["layers"]
    master = sent["proof"].pop("master")
    assert master.startswith("ph_")
    assert sent == {
        "proof": {"text": True, "must_read": ["30 ml"]},
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
        "shadow": {
            "mode": "cast",
            "direction_deg": 90,
            "length": 0.8,
            "softness": 0.4,
            "intensity": 0.6,
            "tint": "#000000",
        },
        "reflection": {"strength": 0.4, "fade": 0.5, "blur": 0.2},
        "relight": {"mode": "match", "amount": 0.3},
        "retry": {"max": 2, "on": ["floating", "scene"]},
        "engine": "second",
        "priority": "catalogue",
    }


@pytest.mark.parametrize(
    "options",
    [
        ("--shadow", "none", "--shadow-direction", 90),
        ("--shadow", '{"mode": "cast"'),
        ("--shadow", '{"mode": "hard"}'),
        ("--shadow", '{"mode": "cast", "direction_deg": 1e9}'),
        ("--shadow", '{"mode": "cast", "tint": "red"}'),
        ("--reflection", "much"),
        ("--reflection", "1.5"),
        ("--reflection", "0.4", "--background", "transparent"),
        ("--relight", "much"),
        ("--relight", "1.5"),
        ("--relight", '{"mode": "auto"}'),
        ("--relight", "0.3", "--background", "white"),
        ("--retry", "often"),
        ("--retry", "9"),
        ("--retry", "2:lock"),
        ("--retry", "2", "--background", "white"),
        ("--must-read", "--"),
        ("--master", "nowhere.png"),
    ],
)
def test_a_shadow_or_reflection_that_is_none_exits_with_2(
    served: Api, monkeypatch: pytest.MonkeyPatch, photo: Path, options: tuple[str | float, ...]
) -> None:
    assert shoot(served, monkeypatch, photo, "--prompt", "on oak", *options).exit_code == 2


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


def test_shoot_cuts_what_words_name(served: Api, monkeypatch: pytest.MonkeyPatch, photo: Path) -> None:
    served.graph.shown = {"mug": (Detection((20, 10, 60, 50), 0.9), Detection((70, 10, 110, 50), 0.6)), "lamp": ()}
    white = ("--background", "white", "--canvas", "64x64")
    result = shoot(served, monkeypatch, photo, *white, "--find", "red mug")
    assert result.exit_code == 0, result.output
    assert [note["code"] for note in last_json(result)["notes"]] == ["words_ignored", "several_found"]
    cutout = read_png((photo.parent / "out" / "mug-cutout.png").read_bytes())
    assert abs(cutout.shape[1] - 40) <= 8
    absent = shoot(served, monkeypatch, photo, *white, "--find", "lamp", "--find-not", "mug")
    assert absent.exit_code != 0
    assert "nothing in the photo is 'lamp'" in absent.stderr
    for wrong in (("--find-not", "saucer"), ("--find", "mug", "--mask", str(photo))):
        refused = shoot(served, monkeypatch, photo, *white, *wrong)
        assert refused.exit_code == 2
        assert "--find" in refused.stderr
