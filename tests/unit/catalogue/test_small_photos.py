"""Warnings of photos that are too small for a channel's files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from packshot.catalogue.folder import read_local
from packshot.catalogue.small_photos import small_photos, warned
from packshot.contract.catalogue import Budget, BudgetCheck, DryRunAnswer, Manifest

LOOK: dict[str, Any] = {
    "name": "spring",
    "defaults": {"canvas": [2048, 2048], "fill": 0.8},
    "axes": [{"name": "scene", "values": {"marble": "on marble", "oak": "on oak"}}],
    "deliver": [{"preset": "shopify"}],
}


def manifest(**changes: Any) -> Manifest:
    items = [{"sku": "A", "photo": "small.png"}, {"sku": "B", "photo": "large.png"}, {"sku": "C", "photo": "gone.png"}]
    return Manifest.model_validate_json(json.dumps(LOOK | {"items": items} | changes))


SIZES = {"small.png": (740, 600), "large.png": (3000, 2000)}


def test_a_photo_is_too_small_where_even_all_of_it_would_be_enlarged_too_far() -> None:
    [warning] = small_photos(manifest(), [2, 3, 4], SIZES.get)
    assert (warning.row, warning.sku, warning.column, warning.value) == (2, "A", "photo", "740x600 px")
    assert "shopify" in warning.rule
    assert "at least 2.21x" in warning.rule  # 0.8 x 2048 / 740
    assert "at least 820 px" in warning.remedy


@pytest.mark.parametrize(
    "changes",
    [
        {"deliver": []},
        {"deliver": [{"preset": "shopify", "canvas": [1600, 1600]}]},
        {"defaults": {"canvas": [2048, 2048], "fill": 0.7}},
        {"deliver": [{"preset": "nobody-has-it"}]},
    ],
)
def test_nothing_is_said_where_no_file_enlarges_it_too_far(changes: dict[str, Any]) -> None:
    assert list(small_photos(manifest(**changes), [2, 3, 4], SIZES.get)) == []


def test_a_product_of_a_true_size_is_judged_by_it() -> None:
    items = [
        {"sku": "A", "photo": "small.png", "size_mm": {"height": 50}},
        {"sku": "B", "photo": "large.png", "size_mm": {"height": 200}},
    ]
    assert list(small_photos(manifest(items=items), [2, 3], SIZES.get)) == []


def test_photos_on_this_machine_are_measured(tmp_path: Path) -> None:
    Image.new("RGB", (740, 600)).save(tmp_path / "small.png")
    (tmp_path / "torn.png").write_bytes(b"\x89PNG torn")
    (tmp_path / "catalogue.csv").write_text("sku,photo\nA,small.png\nB,torn.png\n")
    frame = {name: value for name, value in LOOK.items() if name != "items"}
    local = read_local(tmp_path, frame)
    budget = BudgetCheck(images=Budget().images, device_s=Budget().device_s, exceeded=False)
    empty = DryRunAnswer(
        ok=True, rows=2, shots=2, pictures=2, deliveries=2, device_s=1.0, ends_at=None, basis="assumed", budget=budget,
        problems=(), problems_total=0,
    )  # fmt: skip
    [warning] = warned(empty, local).warnings
    assert (warning.row, warning.sku) == (2, "A")
