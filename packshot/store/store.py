"""The store: one object over the rooms beside it. Thread-safe; pickles as its settings and opens anew."""

from __future__ import annotations

from typing import Any

from packshot.settings import Settings
from packshot.store.assets import Assets
from packshot.store.database import sqlite_file
from packshot.store.keys import Keys
from packshot.store.migrate import check, migrate
from packshot.store.upkeep import Upkeep


class Store(Keys, Upkeep):
    """Tenants, keys, photos, masks, shots and images. Raises Unavailable `schema_mismatch` on another schema."""

    def __init__(self, database_url: str, assets: Assets, settings: Settings | None = None) -> None:
        super().__init__(database_url, assets, settings)
        try:
            check(self._engine)
        except BaseException:
            self.close()
            raise

    @classmethod
    def from_settings(cls, settings: Settings) -> Store:
        """Open the store that the settings name: makes its folders, and brings the database to this version's schema."""
        settings.home_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = sqlite_file(settings.store_url)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
        migrate(settings.store_url)
        return cls(settings.store_url, Assets(settings.asset_root, settings.max_asset_bytes), settings)

    def __reduce__(self) -> tuple[Any, ...]:
        return Store, (self.database_url, self.assets, self.settings)
