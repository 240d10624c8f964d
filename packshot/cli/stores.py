"""The settings' store, for commands that need no cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packshot.store.store import Store


@contextmanager
def open_store(*, uses_files: bool = False) -> Iterator[Store]:
    """Open the store, and close it after the block. `uses_files` claims its asset root."""
    from packshot.settings import Settings
    from packshot.store.store import Store

    store = Store.from_settings(Settings(), uses_files=uses_files)
    try:
        yield store
    finally:
        store.close()
