"""Path-traced pictures of products that no training shows: the `heldout` shards of training/path_traced.

They are measured when their folder is given (`--shards`), because no shard is committed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.mini.evaluation.cutouts import ZONE_PX, alpha_error, cut_at_place
from training.mini.evaluation.masks import Answers, Segmenter, ask, means
from training.mini.evaluation.subjects import Subject
from training.path_traced.shards import pictures, usable

EVERY = 2
"""Each second picture of a shard: every product and set in one of its lights."""


@dataclass(frozen=True)
class RenderedSubject:
    """A picture with its mask, and the exact coverage of its product, float HxW in 0..1."""

    subject: Subject
    alpha: NDArray[np.float64]


def rendered_subjects(folder: Path, count: int) -> list[RenderedSubject]:
    """The first `count` pictures of the held-out shards. Raises FileNotFoundError when there is none."""
    found = list(islice(_read(folder), count))
    if not found:
        raise FileNotFoundError(
            f"{folder} must hold shards named heldout-*.npz, got none; python -m training.path_traced render makes them"
        )
    return found


def _read(folder: Path) -> Iterator[RenderedSubject]:
    for path in sorted(folder.glob("heldout-*.npz")):
        for number, picture in enumerate(pictures(path)):
            if number % EVERY == 0 and usable(picture):
                image, alpha = (np.asarray(picture.arrays[name], np.uint8) for name in ("image", "alpha"))
                yield RenderedSubject(Subject(f"{path.stem}-{number}", image, alpha >= 128), alpha / 255)


def rendered_figures(
    segmenter: Segmenter, folder: Path, count: int
) -> tuple[dict[str, object], list[tuple[Subject, Answers]]]:
    """The segmenter's figures, and the cutout's alpha error with the true mask and with the mask found by box."""
    answers, errors = [], dict[str, list[float]]()
    for one in rendered_subjects(folder, count):
        answer = ask(segmenter, one.subject)
        answers.append((one.subject, answer))
        for name, mask in (("true_mask", one.subject.truth), ("by_box", answer.masks["box"])):
            cutout = cut_at_place(one.subject.image, mask)
            errors.setdefault(name, []).append(alpha_error(cutout[..., 3] / 255, one.alpha, ZONE_PX))
    alpha_mae = {name: round(float(np.mean(values)), 4) for name, values in errors.items()}
    return means([answer for _, answer in answers]) | {"alpha_mae": alpha_mae}, answers
