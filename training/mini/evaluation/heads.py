"""The geometry head and the name finder on held-out path-traced pictures (`groups`).

Geometry: the mean angle between found and true normals; the depth's error after the best scale and shift, as a share
of the product's depth; and the share of pairs of points that are in the right order. Each beside what inflation of the
silhouette gives (`packshot.imaging.light.inflation`).

Names: a product among others is found when the best answer to its name overlaps its box by at least one half, and no
other product's box by more. An absent name is right when there is no answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import mean
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from packshot.models.detect.detector import Detector, load_detector
from packshot.models.packs.pack import Pack
from packshot.models.segment.segmenter import SamEncoder
from packshot.models.understand.geometry import GeometryEstimator, InflatedGeometry, load_geometry
from packshot.types import Cutout, Embedding, Geometry, Photo
from training.mini import names
from training.mini.evaluation.groups import SPLITS, Group, read_groups

LARGE_PX = 1500
"""The smallest product whose geometry is measured, in pixels."""
PAIRS, APART = 2000, 0.1
"""The pairs of points of a product, and how far apart they must be, as a share of its depth."""
FOUND_IOU = 0.5
ABSENT = 4
"""Absent names that are asked of a picture."""
Figures = dict[str, Any]


def head_figures(pack: Pack, encoder: SamEncoder, count: int) -> Figures:
    """The figures of the first `count` pictures of each split."""
    groups = read_groups()
    chosen = [one for split in SPLITS for one in [group for group in groups if group.split == split][:count]]
    cpu = torch.device("cpu")
    found: Figures = {"geometry": geometry_figures(load_geometry(pack, cpu), chosen)}
    found["inflation"] = geometry_figures(InflatedGeometry(), chosen)
    detector = load_detector(pack, cpu)
    if detector is not None:
        for split in SPLITS:
            found[split] = name_figures(detector, encoder, [group for group in chosen if group.split == split])
    return found


def geometry_figures(estimator: GeometryEstimator, groups: Sequence[Group]) -> dict[str, float]:
    """The means of each figure over the large products."""
    figures: defaultdict[str, list[float]] = defaultdict(list)
    rng = np.random.default_rng(0)
    for group in groups:
        for number in range(1, len(group.names) + 1):
            mask = group.index == number
            if int(mask.sum()) < LARGE_PX:
                continue
            x0, y0, x1, y1 = group.box(number)
            inside = np.s_[y0:y1, x0:x1]
            alpha = (mask[inside] * 255).astype(np.uint8)
            [geometry] = estimator.estimate([Cutout(np.dstack([group.image[inside], alpha]))])
            truth = np.dstack([group.normals, group.depth])[inside] * mask[inside][..., None]
            for name, value in compared(geometry, truth, rng).items():
                figures[name].append(value)
    return {name: round(mean(values), 4) for name, values in figures.items()} | {"products": len(figures["angle"])}


def compared(geometry: Geometry, truth: NDArray[np.float32], rng: np.random.Generator) -> dict[str, float]:
    """The figures of one product. `truth` is float32 HxWx4, normals and depth, 0 outside the product."""
    height, width = geometry.mask.shape
    true = cv2.resize(truth, (width, height), interpolation=cv2.INTER_NEAREST)
    on = (geometry.mask >= 128) & (np.linalg.norm(true[..., :3], axis=2) > 0.5)
    dots = (geometry.normals[on].astype(np.float32) / 127 * true[on][:, :3]).sum(1)
    angles = np.degrees(np.arccos(np.clip(dots, -1, 1)))
    depth, wanted = geometry.depth[on], true[on][:, 3]
    by, start = np.polyfit(depth, wanted, 1) if np.ptp(depth) > 0 else (0.0, float(wanted.mean()))
    a, b = rng.integers(0, len(depth), (2, PAIRS))
    apart = np.abs(wanted[a] - wanted[b]) > APART
    right = ((depth[a] - depth[b]) * (wanted[a] - wanted[b]) > 0)[apart]
    found = {
        "angle": float(angles.mean()),
        "median_angle": float(np.median(angles)),
        "depth_error": float(np.abs(by * depth + start - wanted).mean()),
    }
    return found | ({"depth_order": float(right.mean())} if right.size else {})


def name_figures(detector: Detector, encoder: SamEncoder, groups: Sequence[Group]) -> dict[str, float]:
    """How often a product is found among others, and how often an absent name has no answer."""
    rng = np.random.default_rng(1)
    found, none = list[bool](), list[bool]()
    for group in groups:
        photo = Photo(group.image)
        seen: Photo | Embedding = encoder.encode([photo])[0] if detector.reads == "embedding" else photo
        for number, phrase in asked(group):
            [answers] = detector.find([(seen, phrase)])
            overlaps = [_iou(answers[0].box_xyxy, group.box(n)) for n in shown(group)] if answers else []
            mine = _iou(answers[0].box_xyxy, group.box(number)) if answers else 0.0
            found.append(mine >= FOUND_IOU and mine >= max(overlaps))
        for phrase in absent(group, rng):
            none.append(not detector.find([(seen, phrase)])[0])
    rates = {"found": found, "none": none}
    return {name: round(mean(values), 3) for name, values in rates.items() if values} | {"asked": len(found)}


def shown(group: Group) -> list[int]:
    """The numbers of the products of which a pixel is seen."""
    return [number for number in range(1, len(group.names) + 1) if (group.index == number).any()]


def asked(group: Group) -> list[tuple[int, str]]:
    """Each product's number and a phrase that finds it and no other one of the picture: its name, if it is known."""
    questions = []
    for number, name in enumerate(group.names, start=1):
        others = [other for at, other in enumerate(group.names, start=1) if at != number]
        fit = [
            phrase
            for phrase in names.phrases()
            if name and names.finds(phrase, name) and not any(other and names.finds(phrase, other) for other in others)
        ]
        if fit:
            questions.append((number, max(fit, key=lambda phrase: (phrase == name, len(phrase.split())))))
    return questions


def absent(group: Group, rng: np.random.Generator) -> list[str]:
    """ABSENT phrases that find none of the picture's products."""
    free = [phrase for phrase in names.phrases() if not any(name and names.finds(phrase, name) for name in group.names)]
    return [free[int(at)] for at in rng.choice(len(free), ABSENT, replace=False)]


def _iou(a: Sequence[float], b: Sequence[float]) -> float:
    width, height = (max(0.0, min(a[k + 2], b[k + 2]) - max(a[k], b[k])) for k in (0, 1))
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return width * height / max(areas - width * height, 1e-9)
