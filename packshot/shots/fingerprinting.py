"""Fingerprints of files that have none, a few at a time: those of before there were any, and plain pictures.

New pictures and delivered files get theirs where they are made (`packshot.shots.finish`, `packshot.delivery.deliver`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from packshot.errors import NotFound, PackshotError
from packshot.imaging.fingerprint import Fingerprint
from packshot.store.duty import take_duty
from packshot.store.store import Store

__all__ = ["fingerprint_old_files", "fingerprint_some"]

log = logging.getLogger(__name__)

AT_ONCE, EVERY_S = 32, 15.0
"""Files of one turn, and seconds between two turns of the whole cluster: about 7,000 files an hour."""

DONE_S = 600.0
"""Seconds until a process looks again after it has found no file without a fingerprint."""

FingerprintOf = Callable[[str], Awaitable[Fingerprint | None]]


async def fingerprint_old_files(store: Store, fingerprint: FingerprintOf) -> None:
    """Fingerprint what has none, for ever. `fingerprint` finds that of a stored file, by its asset key."""
    while True:
        wait_s = EVERY_S
        try:
            if await asyncio.to_thread(_take_turn, store) and not await fingerprint_some(store, fingerprint):
                wait_s = DONE_S
        except PackshotError as error:
            log.warning("old files were not fingerprinted, which will be tried again: %s", error)
        await asyncio.sleep(wait_s)


def _take_turn(store: Store) -> bool:
    """Whether it is this process's turn."""
    return take_duty(store.database, "fingerprints", every_s=EVERY_S, pages=1, of_pages=1) is not None


async def fingerprint_some(store: Store, fingerprint: FingerprintOf, most: int = AT_ONCE) -> int:
    """Fingerprint at most `most` files that have none. Returns how many were found."""
    files = await asyncio.to_thread(store.fingerprints.missing, most)
    for file in files:
        try:
            found = await fingerprint(file.asset_key)
        except NotFound:  # deleted since, or its bytes were lost: then nothing of it can be found
            log.info("the file %s has no bytes to fingerprint", file.file_id)
            found = None
        await asyncio.to_thread(store.fingerprints.add, file, found)
    return len(files)
