"""The time of what a person waits for: encoding a photo, a click, a cutout, and a picture. Medians, warm.

Times are processor seconds of one thread, so that other work on the machine changes them little. `core_s` tells how
fast this core is: it deflates the coffee photo at zlib's level 1, as `bench/p11_finishing.py` does with its photo.
"""

from __future__ import annotations

import statistics
import time
import zlib
from collections.abc import Callable

import cv2
import numpy as np
import torch

from packshot.imaging.canvas import cut
from packshot.imaging.lock import lock_px_of
from packshot.types import Mask, Photo
from training.mini.evaluation.masks import Segmenter
from training.mini.evaluation.painting import STEPS, Painter, Shot
from training.mini.evaluation.pointing import deepest
from training.mini.evaluation.subjects import real_photos

CUT_PX = 2000
"""The longer side of the photo that is cut, for which the time target is stated."""


def speed(segmenter: Segmenter, painter: Painter, shot: Shot, rounds: int) -> dict[str, float]:
    """The median processor seconds of `rounds` repeats.

    `encode_s` and `click_s` use the coffee photo; `cut_s` its cup, in a photo enlarged to CUT_PX. `picture_s` is a
    guided picture of STEPS steps, decoded, whose longer side is `picture_px`.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        coffee = real_photos()[0]
        seen = segmenter.encode(coffee.image)
        scale = CUT_PX / max(coffee.truth.shape)
        large = Photo(np.asarray(cv2.resize(coffee.image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)))
        mask = cv2.resize(coffee.truth.astype(np.uint8) * 255, (large.width, large.height))
        product = Mask(np.where(mask > 127, np.uint8(255), np.uint8(0)))
        return {
            "encode_s": _median(lambda: segmenter.encode(coffee.image), rounds),
            "click_s": _median(lambda: segmenter.segment(seen, [deepest(coffee.truth)]), rounds),
            "cut_s": _median(lambda: cut(large, product, lock_px_of(large.width, large.height)), max(2, rounds // 2)),
            "picture_s": _median(lambda: painter.paint([shot], STEPS), max(2, rounds // 2)),
            "picture_px": painter.paint([shot], 1)[0].decoded_px,
            "core_s": _median(lambda: zlib.compress(coffee.image.tobytes(), 1), rounds),
        }
    finally:
        torch.set_num_threads(threads)


def _median(work: Callable[[], object], rounds: int) -> float:
    work()
    spent = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return round(statistics.median(spent), 4)
