"""The published recipes of docs/training.md, each command on tiny random weights of its family."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from packshot.cli import app
from packshot.training.spec import KINDS

PAGE = Path(__file__).parents[3] / "docs/training.md"
SHORT = ("--repeats", "1", "--epochs", "1", "--batch", "6", "--size", "64")
"""What makes a recipe short: the last value of an option counts."""


def recipes() -> list[str]:
    section = PAGE.read_text("utf-8").partition("**The published recipes**")[2]
    return re.findall(r"^packshot train .+$", section.split("```")[1], re.MULTILINE)


def test_the_page_has_a_recipe_of_each_kind() -> None:
    assert {command.split()[2] for command in recipes()} == set(KINDS)


@pytest.mark.soak  # a second each; test_train_kinds has the kinds
@pytest.mark.usefixtures("with_tiny_packs")
@pytest.mark.parametrize("command", recipes())
def test_a_recipe_runs(command: str, dataset: Callable[[int], Path], tmp_path: Path) -> None:
    words = shlex.split(command)[1:]
    words[2] = str(dataset(12))
    words[words.index("--pack") + 1] = f"tiny-{words[words.index('--pack') + 1]}"
    words[words.index("--out") + 1] = str(tmp_path / "made")
    if "--init-words" in words:
        words[words.index("--init-words") + 1] = "marble"  # the tiny packs know few words
    short = (*SHORT, "--prior", "2") if "--prior" in words else SHORT
    result = CliRunner().invoke(app, [*words, *short, "--in-process", "--json"])
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout.splitlines()[-1])
    assert (answer["steps"], answer["ended"]) == (2, "whole")
    assert all(Path(file).is_file() for file in answer["files"])
