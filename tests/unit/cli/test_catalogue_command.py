"""`packshot catalogue plan`: a folder, a sheet or a manifest; a table for people, a line for machines."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from packshot.cli import app

SHEET = "sku,photo,meta.gtin\nmug,photos/mug.jpg,4006381333931\nring,photos/ring.png,\n"


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["catalogue", "plan", *map(str, arguments), "--json"])


def told(result: Result) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return answer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for name in ("mug.jpg", "ring.png"):
        (tmp_path / "photos" / name).write_bytes(b"not read by a plan")
    return tmp_path


def test_a_sheet_with_scenes_and_channels_from_options(folder: Path) -> None:
    (folder / "spring.csv").write_text(SHEET)
    options = ["--scene", "marble=on marble", "--scene", "linen=on linen", "--preset", "shopify"]
    result = call(folder / "spring.csv", *options, "--preset", "amazon-main=white")
    assert result.exit_code == 0, result.stderr
    answer = told(result)
    assert answer["ok"]
    assert [answer[name] for name in ("rows", "shots", "pictures", "deliveries")] == [2, 6, 6, 6]
    assert answer["device_s"] > 0
    assert answer["basis"] == "assumed"


def test_a_folder_with_a_manifest(folder: Path) -> None:
    (folder / "catalogue.yaml").write_text(
        "name: x\ndeliver: [{preset: amazon-main, scene: white}]\nitems: [{sku: mug, photo: photos/mug.jpg}]"
    )
    answer = told(call(folder))
    assert (answer["rows"], answer["shots"], answer["problems"]) == (1, 1, [])


def test_a_folder_of_photos_alone_names_the_rows_by_their_files(folder: Path) -> None:
    answer = told(call(folder, "--scene", "marble=on marble"))
    assert (answer["rows"], answer["shots"], answer["problems_total"]) == (2, 2, 0)


def test_a_look_beside_a_sheet(folder: Path) -> None:
    (folder / "spring.csv").write_text(SHEET)
    look = folder / "look.yaml"
    look.write_text("budget: {images: 1}\ndeliver: [{preset: shopify, scene: '#fafafa'}]")
    answer = told(call(folder / "spring.csv", "--look", look))
    assert answer["budget"] == {"images": 1, "device_s": None, "exceeded": True}
    look.write_text("items: []")
    assert call(folder / "spring.csv", "--look", look).exit_code == 2


def test_problems_are_told_and_written_for_a_spreadsheet(folder: Path) -> None:
    (folder / "spring.csv").write_text("sku,photo\n=1+1,photos/mug.jpg\nring,photos/gone.png\n")
    file = folder / "out" / "problems.csv"
    result = call(folder / "spring.csv", "--scene", "marble=on marble", "--problems", file)
    assert result.exit_code == 2
    assert [(one["row"], one["column"], one["code"]) for one in told(result)["problems"]] == [
        (2, "sku", "invalid_request"),
        (3, "photo", "photo_missing"),
    ]
    with file.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [row["row"] for row in rows][-1] == "3"
    assert rows[0]["value"] == "'=1+1"  # no spreadsheet runs it
    assert "photos/gone.png" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (["nowhere.csv"], "MANIFEST must be a folder or a file"),
        ([".", "--scene", "marble"], "a scene must be NAME=TEXT"),
        ([".", "--look", "look.txt"], "--look must be a YAML or JSON file"),
    ],
)
def test_wrong_arguments_are_refused_with_the_rule(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], rule: str
) -> None:
    monkeypatch.chdir(folder)
    result = call(*arguments)
    assert result.exit_code == 2
    assert rule in result.stderr


def test_options_do_not_change_a_manifest(folder: Path) -> None:
    (folder / "catalogue.yaml").write_text("name: x\nitems: [{sku: mug, photo: photos/mug.jpg}]")
    result = call(folder, "--scene", "marble=on marble")
    assert result.exit_code == 2
    assert "has its own axes" in result.stderr


def test_two_manifests_in_a_folder_are_refused(folder: Path) -> None:
    for name in ("catalogue.yaml", "catalogue.csv"):
        (folder / name).write_text("")
    assert "must hold one manifest" in call(folder).stderr
