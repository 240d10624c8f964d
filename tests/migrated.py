"""Support for tests that open a store on SQLite: a database with the schema already in it, copied and not migrated.

The migrations of an empty database take a quarter of a second of a processor.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from packshot.store.migrate import migrate

FILE = "packshot.sqlite"
"""The name of a home's database."""


def migrated_home(home: Path) -> Path:
    """Put an empty database of this version's schema into a home, unless it has a database. Returns the home."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (home / FILE).exists():
        (home / FILE).write_bytes(_migrated())
    return home


@cache
def _migrated() -> bytes:
    """The file of a database that was just migrated. Each process makes it once."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / FILE
        migrate(f"sqlite:///{file}")
        return file.read_bytes()
