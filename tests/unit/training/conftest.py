"""Datasets and tiny packs for trainings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from packshot.imaging.codec import encode_png
from tests.tiny_pack import build_tiny_pack

SIZE_PX = 64


def draw_dataset(folder: Path, count: int = 4, *, masks: bool = False, captions: bool = True) -> Path:
    """`count` pictures in two colours, 80 x SIZE_PX, with captions and masks if asked."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for index in range(count):
        picture = np.full((SIZE_PX, 80, 3), (200, 80, 60), np.uint8)
        picture[20:44, 28:52] = rng.integers(0, 255, 3)
        (folder / f"{index}.png").write_bytes(encode_png(picture))
        if captions:
            (folder / f"{index}.txt").write_text("soft marble table", "utf-8")
        if masks:
            mask = np.zeros((SIZE_PX, 80), np.uint8)
            mask[20:44, 28:52] = 255
            (folder / f"{index}.mask.png").write_bytes(encode_png(mask))
    return folder


@pytest.fixture(scope="session")
def tiny_packs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny packs mini, sd15 and sdxl."""
    folder = tmp_path_factory.mktemp("packs")
    for family in ("mini", "sd15", "sdxl"):
        build_tiny_pack(folder / f"tiny-{family}", family)
    return folder


@pytest.fixture
def with_tiny_packs(tiny_packs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny packs, found by their names."""
    monkeypatch.setenv("PACKSHOT_PACK_PATH", str(tiny_packs))
    return tiny_packs


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """A function that gives a folder of so many captioned pictures with masks."""
    made: dict[int, Path] = {}

    def of(count: int) -> Path:
        if count not in made:
            made[count] = draw_dataset(tmp_path_factory.mktemp(f"pictures-{count}"), count, masks=True)
        return made[count]

    return of
