"""The search for pictures that look like a file, over the fingerprints of all stored pictures.

    hash of the file ──bits that differ, over every window──> few candidates ──compare sketches──> look-alikes

Each process keeps the hashes in memory, 0.7 kB a picture, from its first search on, and reads new ones before each
search. 100,000 pictures take 66 MB and 30 ms of a core. Products on a plain backdrop have one hash each, and are
searched apart from the scenes.
"""

from __future__ import annotations

import threading
import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from packshot.imaging.fingerprint import (
    WINDOWS,
    Fingerprint,
    Likeness,
    compare,
    compare_products,
    mirrored,
    overlap,
    sketch_of,
)
from packshot.imaging.product_print import PRINT_BYTES, apart, mirrored_print
from packshot.store.fingerprints import Fingerprints
from packshot.types import U8

__all__ = ["SAME", "Lookalike", "Lookalikes"]

SAME = 0.9
"""The correlation of luma, and that of details, from which two pictures are the same one (docs/measurements.md)."""

CANDIDATES, COMPARED = 64, 6
"""The nearest hashes whose sketches are read in each step of a search, and of these the nearest that are compared."""

BLOCK = 16_384
"""Pictures whose hashes are compared at a time."""

PAGE = 20_000
"""Fingerprints of one query."""

LATE = 1_000
"""A row may be committed after later ones: this many before the last one are read again."""

RELOAD_S = 3600.0
"""Seconds after which all hashes are read anew, without those that were deleted."""


class Lookalike(NamedTuple):
    """A file that looks like the one in question. `mirrored`: in a mirror."""

    file_id: str
    likeness: Likeness
    mirrored: bool

    @property
    def score(self) -> float:
        """The smaller of both correlations, -1..1."""
        return min(self.likeness.luma, self.likeness.detail)


class _Products(NamedTuple):
    """The hashes of products' prints, uint64, and the numbers of their rows, in the same order."""

    seqs: NDArray[np.int64]
    hashes: NDArray[np.uint64]

    def with_rows(self, rows: list[tuple[int, bytes]]) -> _Products:
        """These and further rows, without those that are there already."""
        known = set(self.seqs[-LATE - 1 :].tolist())
        fresh = [row for row in rows if row[0] not in known]
        if not fresh:
            return self
        seqs = np.concatenate([self.seqs, np.array([seq for seq, _ in fresh], np.int64)])
        hashes = np.concatenate([self.hashes, np.frombuffer(b"".join(one for _, one in fresh), "<u8")])
        order = np.argsort(seqs, kind="stable")
        return _Products(seqs[order], hashes[order].astype(np.uint64))


class Lookalikes:
    """Finds look-alikes. It is thread-safe, and blocks on the database and on arithmetic."""

    def __init__(self, fingerprints: Fingerprints) -> None:
        self._fingerprints = fingerprints
        self._lock = threading.Lock()
        self._reloaded_at = -RELOAD_S
        self._seqs = np.zeros(0, np.int64)
        self._hashes = np.zeros((len(WINDOWS), 0), np.uint64)
        self._products = _Products(np.zeros(0, np.int64), np.zeros(0, np.uint64))
        self._read = 0

    def __len__(self) -> int:
        """How many fingerprints are in memory."""
        return len(self._seqs) + len(self._products.seqs)

    def search(self, asked: Fingerprint) -> list[Lookalike]:
        """The files that show what `asked` shows, or more, best first. Several, when a picture was delivered too."""
        with self._lock:
            self._refresh()
            seqs, hashes, products = self._seqs, self._hashes, self._products
        if asked.of_product:
            return self._products_like(products, asked)
        sketch = sketch_of(asked.sketch)
        ways = [(asked.whole, sketch, False), (mirrored(asked.whole), np.ascontiguousarray(sketch[:, ::-1]), True)]
        for windows in (hashes[:1], hashes[1:]):  # most files show the whole frame, and few hashes find it
            first = 0 if len(windows) == 1 else 1
            found = [one for way in ways for one in self._best(seqs, windows, first, *way)]
            same = sorted((one for one in found if one.score >= SAME), key=lambda one: -one.score)
            if same:
                return same
        return []

    def _best(
        self, seqs: NDArray[np.int64], hashes: NDArray[np.uint64], first: int, whole: int, sketch: U8, turned: bool
    ) -> list[Lookalike]:
        """The files with the nearest hashes, compared. `first` is the number of the first window in `hashes`."""
        if not len(seqs):
            return []
        nearest = np.full(len(seqs), 64, np.uint8)
        for start in range(0, len(seqs), BLOCK):  # what a block needs stays in the processor's cache
            block = slice(start, start + BLOCK)
            for row in hashes:
                np.minimum(nearest[block], np.bitwise_count(row[block] ^ np.uint64(whole)), out=nearest[block])
        most = min(CANDIDATES, len(seqs))
        chosen = np.argpartition(nearest, most - 1)[:most]
        window = np.bitwise_count(hashes[:, chosen] ^ np.uint64(whole)).argmin(axis=0)
        windows = {int(seqs[one]): WINDOWS[first + at] for one, at in zip(chosen, window, strict=True)}
        read = [(one, sketch_of(one.sketch)) for one in self._fingerprints.sketches(list(windows))]
        read.sort(key=lambda one: -overlap(sketch, one[1], windows[one[0].seq]))
        return [
            Lookalike(one.file_id, compare(sketch, stored, windows[one.seq]), turned) for one, stored in read[:COMPARED]
        ]

    def _products_like(self, known: _Products, asked: Fingerprint) -> list[Lookalike]:
        """The files that show the same product in the same light on a plain backdrop, best first."""
        found = []
        for whole, sketch, turned in (
            (asked.whole, asked.sketch, False),
            (mirrored(asked.whole), mirrored_print(asked.sketch), True),
        ):
            differ = np.bitwise_count(known.hashes ^ np.uint64(whole))
            most = min(CANDIDATES, len(differ))
            nearest = np.argpartition(differ, most - 1)[:most] if most else np.zeros(0, np.int64)
            read = self._fingerprints.sketches([int(known.seqs[one]) for one in nearest])
            near = sorted(
                (one for one in read if len(one.sketch) == PRINT_BYTES), key=lambda one: apart(sketch, one.sketch)
            )
            found += [Lookalike(one.file_id, compare_products(sketch, one.sketch), turned) for one in near[:COMPARED]]
        return sorted((one for one in found if one.score >= SAME), key=lambda one: -one.score)

    def _refresh(self) -> None:
        """Read the fingerprints that came since the last search, and from time to time all of them."""
        if time.monotonic() - self._reloaded_at > RELOAD_S:
            self._seqs, self._hashes = self._seqs[:0], self._hashes[:, :0]
            self._products, self._read = _Products(self._seqs[:0], self._hashes[0]), 0
            self._reloaded_at = time.monotonic()
        after = max(0, self._read - LATE)
        while True:
            rows = self._fingerprints.hashes_after(after, PAGE)
            fresh = [row for row in rows if len(row[1]) == 8 * len(WINDOWS)]
            seqs = np.array([seq for seq, _ in fresh], np.int64)
            new = ~np.isin(seqs, self._seqs[-LATE - 1 :])
            if new.any():
                hashes = np.frombuffer(b"".join(row[1] for row in fresh), "<u8").reshape(-1, len(WINDOWS))[new]
                order = np.argsort(seqs := np.concatenate([self._seqs, seqs[new]]), kind="stable")
                self._hashes = np.concatenate([self._hashes, hashes.T.astype(np.uint64)], axis=1)[:, order]
                self._seqs = seqs[order]
            self._products = self._products.with_rows([row for row in rows if len(row[1]) == 8])
            self._read = max(self._read, rows[-1][0] if rows else 0)
            if len(rows) < PAGE:
                return
            after = rows[-1][0]
