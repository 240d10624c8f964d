"""What a photo shows about borders is found once, and not for each click."""

from __future__ import annotations

from dataclasses import fields
from unittest import mock

import numpy as np

from packshot.models.segment import refine
from packshot.models.segment.backdrop import plain_backdrop
from packshot.models.segment.guides import Guides
from tests.unit.models.drawn import bottle, drawn, photographed


def photo(grey: int) -> np.ndarray:
    return photographed(drawn(bottle, 400, 300), (200, 60, 40), (grey, grey, grey))


def looks(guides: Guides, *photos: np.ndarray) -> int:
    """How many of these photos are looked at anew."""
    with mock.patch.object(refine, "plain_backdrop", wraps=plain_backdrop) as look:
        for one in photos:
            guides.guide(one)
    return look.call_count


def test_a_second_click_looks_at_no_photo_again() -> None:
    guides = Guides()
    assert looks(guides, photo(120), photo(120), photo(121), photo(120)) == 2


def test_a_known_photo_s_guide_is_that_of_the_photo() -> None:
    guides, thumbnail, detail = Guides(), photo(120), photo(90)
    guides.guide(thumbnail)
    known, fresh = guides.guide(thumbnail, detail), refine.guide(thumbnail, detail)
    for field in fields(fresh):
        own, other = getattr(known, field.name), getattr(fresh, field.name)
        assert field.name == "backdrop" or np.array_equal(own, other)
    assert known.backdrop is not None
    assert fresh.backdrop is not None
    assert np.array_equal(known.backdrop.even, fresh.backdrop.even)


def test_the_photo_of_the_longest_ago_is_forgotten_first() -> None:
    guides = Guides(most=2)
    assert looks(guides, photo(100), photo(101), photo(100), photo(102)) == 3
    assert looks(guides, photo(100), photo(102)) == 0
    assert looks(guides, photo(101)) == 1


def test_no_guide_keeps_the_embedding_s_memory() -> None:
    guides, thumbnail = Guides(), photo(120)
    guides.guide(thumbnail)
    steepness, _, backdrop = next(iter(guides._known.values()))
    assert backdrop is not None
    arrays = (steepness, backdrop.even, backdrop.shadow, backdrop.colour)
    assert not any(np.shares_memory(array, thumbnail) for array in arrays)
