"""Every test of the store runs twice: on SQLite, and on a real PostgreSQL server that the session starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from packshot.settings import Settings
from packshot.store.migrate import migrate
from packshot.store.records import PhotoRecord, Tenant
from packshot.store.store import Store
from tests.debian_tools import missing
from tests.migrated import FILE, migrated_home
from tests.unit.store.postgres_server import NoPostgres, empty, postgres_server
from tests.unit.store.store_rows import add_photo


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    try:
        with postgres_server() as url:
            migrate(url)
            yield url
    except NoPostgres as reason:
        missing("postgres", str(reason))


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database at this version's schema."""
    if request.param == "sqlite":
        return f"sqlite:///{migrated_home(tmp_path) / FILE}"
    url: str = request.getfixturevalue("postgres_url")
    empty(url)
    return url


@pytest.fixture
def assets_url() -> str:
    """The asset root of the test's store; "" is a folder. A module that runs on S3 too overrides it."""
    return ""


@pytest.fixture
def settings(database_url: str, assets_url: str, tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, database_url=database_url, assets_url=assets_url)


@pytest.fixture
def open_store(settings: Settings) -> Iterator[Callable[..., Store]]:
    """Opens stores on the test's database, with changed settings, and closes them after the test."""
    opened = []

    def open_one(**changes: Any) -> Store:
        opened.append(Store.from_settings(settings.model_copy(update=changes)))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Callable[..., Store]) -> Store:
    return open_store()


@pytest.fixture
def tenant(store: Store) -> Tenant:
    return store.tenants.get_or_create("acme")


@pytest.fixture
def photo(store: Store, tenant: Tenant) -> PhotoRecord:
    return add_photo(store, tenant)
