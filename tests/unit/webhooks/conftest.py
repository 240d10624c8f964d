"""A store for each test of the folder, of which the schema is made once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from packshot.settings import Settings
from packshot.store.migrate import migrate
from packshot.store.store import Store


@pytest.fixture(scope="package")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("sqlite") / "packshot.sqlite"
    migrate(f"sqlite:///{file}")
    return file


@pytest.fixture
def store(migrated: Path, tmp_path: Path) -> Iterator[Store]:
    shutil.copy(migrated, tmp_path)
    opened = Store.from_settings(Settings(home=tmp_path))
    yield opened
    opened.close()
