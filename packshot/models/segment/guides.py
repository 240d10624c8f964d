"""The guides of the photos that people click on, each computed once: clicks on a photo come one after another."""

from __future__ import annotations

from hashlib import sha256
from threading import Lock

import numpy as np

from packshot.models.segment.backdrop import Backdrop
from packshot.models.segment.refine import Guide, guide
from packshot.types import F32, U8


class Guides:
    """The guides of the `most` photos that were clicked on last; one takes 2 MB. Threads may share it.

    A photo is known by its thumbnail's pixels, because each click brings its own copy of the embedding. That copy is
    not kept: it may lie in memory that belongs to other processes.
    """

    def __init__(self, most: int = 8) -> None:
        self._most = most
        self._known: dict[bytes, tuple[F32, float, Backdrop | None]] = {}
        self._lock = Lock()

    def guide(self, thumbnail: U8, detail: U8 | None = None) -> Guide:
        """As the function `guide`."""
        key = sha256(np.ascontiguousarray(thumbnail).data).digest() + bytes(str(thumbnail.shape), "ascii")
        with self._lock:
            known = self._known.get(key)
        if known is None:
            fresh = guide(thumbnail)
            known = (fresh.steepness, fresh.steepest, fresh.backdrop)
        with self._lock:
            self._known.pop(key, None)
            self._known[key] = known  # now the last
            if len(self._known) > self._most:
                del self._known[next(iter(self._known))]
        return Guide(thumbnail, thumbnail if detail is None else detail, *known)
