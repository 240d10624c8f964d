"""A server for the tests of the commands, and a photo."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api_graph import Api, jpeg
from tests.cli_server import working


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are cut to the terminal's width, which must not decide a test."""
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of a test may answer late on a machine that does much else."""
    monkeypatch.setattr("packshot.cli.servers.ANSWERS_WITHIN_S", 60.0)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with working(tmp_path_factory.mktemp("shoot")) as api:
        yield api


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "mug.jpg"
    path.write_bytes(jpeg())
    return path
