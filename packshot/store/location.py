"""The rule for the store's location: a SQLite file or a local asset folder serves one machine only."""

from __future__ import annotations

from packshot.errors import BadInput
from packshot.settings import Settings
from packshot.store.database import sqlite_file

_LOCAL_SCHEMES = ("", "file", "local", "memory")


def refuse_shared_sqlite(settings: Settings, node_count: int) -> None:
    """Raise BadInput `bad_usage` when more than one node would share a SQLite file or a local asset folder."""
    if node_count <= 1:
        return
    scheme, separator, _ = settings.asset_root.partition("://")
    rule = f"a cluster of {node_count} nodes needs a store that every node reaches"
    if sqlite_file(settings.store_url) is not None:
        raise BadInput("bad_usage", f"{rule}, got a SQLite file; set PACKSHOT_DATABASE_URL to a postgresql:// URL")
    if (scheme if separator else "") in _LOCAL_SCHEMES:
        raise BadInput(
            "bad_usage", f"{rule}, got a local asset folder; set PACKSHOT_ASSETS_URL to an object store's URL"
        )
