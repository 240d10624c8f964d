"""A store for each test of the folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from packshot.settings import Settings
from packshot.store.store import Store
from tests.migrated import migrated_home


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.from_settings(Settings(home=migrated_home(tmp_path)))
    yield opened
    opened.close()
