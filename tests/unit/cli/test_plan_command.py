"""`packshot plan`: a table for people, a line for machines, a picture,
and exit code 2 with the reason for what cannot be."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from packshot.cli import app
from packshot.cli.plan import read_prices
from packshot.errors import BadInput


def call(*arguments: Path | int | str) -> Result:
    return CliRunner().invoke(app, ["plan", *map(str, arguments)])


def test_a_plan_is_told_to_people_and_machines_and_drawn(tmp_path: Path) -> None:
    picture = tmp_path / "new" / "plan.svg"
    result = call(
        "--profile",
        "production",
        "--images-per-hour",
        50_000,
        "--price",
        "L4=1",
        "--price",
        "2",
        "--picture",
        picture,
        "--json",
    )
    assert result.exit_code == 0
    told = json.loads(result.stdout.splitlines()[-1])
    assert len(result.stdout.splitlines()) == 1
    assert told["cost_per_hour"] == told["gpus"]["L4"] * 1 + told["gpus"]["L40S"] * 2
    assert "1 generator" in result.stderr
    assert "GPU times are estimates" in result.stderr
    assert picture.read_text().startswith("<svg ")


def test_the_memory_of_packs_is_told_without_a_plan() -> None:
    result = call("--memory", "sdxl", "--memory", "klein", "--json")
    assert result.exit_code == 0
    rows = json.loads(result.stdout.splitlines()[-1])["packs"]
    assert [row["pack"] for row in rows] == ["sdxl"] * 2 + ["klein"] * 4
    tight, *_, smallest = rows[2:]
    assert (tight["with_other_stages"], tight["text_encoder"], tight["max_rows"]["L4"]) == (True, "gpu", 0)
    assert (smallest["text_encoder"], smallest["max_rows"]["L4"] > 4) == ("cpu", True)
    assert "GiB too little" in " ".join(result.stderr.split())
    assert "Nodes:" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--profile", "one-gpu", "--images-per-hour", 1_000_000), "makes at most"),
        (("--profile", "laptop"), "a plan needs a profile with GPUs"),
        (("--profile", "mainframe"), "profile must be one of laptop, node, one-gpu, production"),
        (("--images-per-hour", -5), "images_per_hour must be a number ≥ 0, got -5"),
        (("--price", "L4=cheap"), "--price must be NUMBER or KIND=NUMBER"),
        (("--price", "H100=3", "--currency", "EUR"), "every kind of GPU must have a price, L4 have none"),
    ],
)
def test_what_cannot_be_exits_with_2_and_its_reason(arguments: tuple[int | str, ...], reason: str) -> None:
    result = call(*arguments, "--json")
    assert result.exit_code == 2
    assert reason in result.stderr
    assert json.loads(result.stdout.splitlines()[-1])["error"]["code"] == "bad_usage"


def test_a_plan_without_prices_names_those_that_it_assumes() -> None:
    result = call("--json")
    told = json.loads(result.stdout.splitlines()[-1])
    assert (told["currency"], told["prices_assumed"]) == ("USD", ["L4"])
    assert told["cost_per_hour"] == round(told["price_per_gpu_hour"]["L4"] * told["gpus"]["L4"], 2)
    assert "Price of a GPU-hour in USD: L4 0.8 (assumed)" in result.stderr


def test_given_prices_are_not_called_assumed() -> None:
    result = call("--price", "0.7", "--currency", "EUR")
    assert "Cost: EUR" in result.stderr
    assert "assumed" not in result.stderr


def test_prices_are_read_by_kind() -> None:
    assert read_prices(["2", "L4=0.5"]) == {"": 2.0, "L4": 0.5}
    for bad in ("-1", "nan", "inf", "L4=", "=x"):
        with pytest.raises(BadInput, match="got"):
            read_prices([bad])


def test_a_plan_of_a_shipped_pack_loads_no_torch() -> None:
    code = (
        "import sys; from packshot.cli import app; from typer.testing import CliRunner; "
        "assert CliRunner().invoke(app, ['plan']).exit_code == 0; print('torch' in sys.modules, 'ray' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["False", "False"]
