"""The reader of the package rapidocr (Apache-2.0): PP-OCR networks on onnxruntime, which lie in its wheel.

It reads Latin letters, digits and Chinese and Japanese characters. Of another script it reads what looks similar, or
nothing. Importing it takes seconds and loading it 0.3 GiB, so both wait for the first picture.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import cv2
import numpy as np

from packshot.models.read.reader import Quad, Reading
from packshot.types import U8

if TYPE_CHECKING:
    from rapidocr import RapidOCR

__all__ = ["RapidReader"]

MIN_SIDE_PX = 64
"""The detector sees nothing in a smaller picture."""
MAX_ENLARGED, ENLARGED_PX = 2.0, 800
"""A small picture is enlarged, up to this many times and to this longer side: its small letters are then found."""


class RapidReader:
    """Reads with rapidocr on `threads` threads. It may be used from several threads; one of them loads it."""

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads
        self._loading = threading.Lock()

    def find(self, picture: U8, longest_px: int) -> list[Quad]:
        """See `Reader.find`."""
        height, width = picture.shape[:2]
        longer = max(height, width)
        scale = min(longest_px / longer, max(1.0, min(MAX_ENLARGED, ENLARGED_PX / longer)))
        size = (max(MIN_SIDE_PX, round(width * scale)), max(MIN_SIDE_PX, round(height * scale)))
        seen = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
        found = self._loaded(cv2.cvtColor(seen, cv2.COLOR_RGB2BGR), use_det=True, use_cls=False, use_rec=False)
        boxes = getattr(found, "boxes", None)
        back = np.array([width / size[0], height / size[1]], np.float32)
        return [] if boxes is None else [np.asarray(box, np.float32) * back for box in boxes]

    def read(self, crops: Sequence[U8]) -> list[Reading]:
        """See `Reader.read`."""
        if not crops:
            return []
        found = self._loaded.recognize_txt([cv2.cvtColor(crop, cv2.COLOR_RGB2BGR) for crop in crops])
        texts, scores = found.txts or (), found.scores or ()
        return [Reading(text.strip(), float(score)) for text, score in zip(texts, scores, strict=True)]

    @property
    def _loaded(self) -> RapidOCR:
        with self._loading:
            return self._engine

    @cached_property
    def _engine(self) -> RapidOCR:
        from rapidocr import RapidOCR

        logging.getLogger("RapidOCR").setLevel(logging.CRITICAL)
        return RapidOCR(
            params={
                "Global.log_level": "critical",
                "Global.max_side_len": 4096,  # `find` chooses the size
                "Det.limit_type": "max",
                "Det.limit_side_len": 4096,
                "Rec.rec_batch_num": 6,
                "Rec.rec_img_shape": [3, 48, 96],  # the least width: shorter lines are not padded to a long one's
                "EngineConfig.onnxruntime.intra_op_num_threads": self._threads,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )
