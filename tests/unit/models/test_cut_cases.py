"""Photos of the kinds that customers cut badly, through the shipped pack: by box, by click and without a prompt."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
import torch

from packshot.models.packs.pack import find_pack
from packshot.models.segment.segmenter import SamDecoder, SamEncoder, load_segmenter
from packshot.settings import Settings
from packshot.types import MaskCandidate, Photo, Prompts
from tests.unit.models.drawn import bag, border_off_px, bottle, drawn, iou, photographed, ring, three


@pytest.fixture(scope="module")
def halves() -> tuple[SamEncoder, SamDecoder]:
    torch.set_num_threads(1)
    return load_segmenter(find_pack("mini", Settings()), torch.device("cpu"), torch.float32)


def asked(halves: tuple[SamEncoder, SamDecoder], photo: np.ndarray, *prompts: Prompts) -> Sequence[list[MaskCandidate]]:
    encoder, decoder = halves
    embedding = encoder.encode([Photo(photo)])[0]
    return decoder.decode([(embedding, prompt) for prompt in prompts])


def test_a_bag_by_box_and_by_click_keeps_its_opening_and_its_strap(halves: tuple[SamEncoder, SamDecoder]) -> None:
    truth = drawn(bag, 1600, 1200)
    photo = photographed(truth, (60, 86, 120), (200, 200, 198))
    box, click = Prompts((), ((472.0, 132.0, 1128.0, 1068.0),)), Prompts(((800.0, 800.0, 1),))
    for found in asked(halves, photo, box, click):
        mask = found[0].mask.pixels > 0
        assert iou(mask, truth) > 0.97
        assert cv2.connectedComponents((~mask).astype(np.uint8))[0] - 1 == 2, "the outside and one opening"
        assert found[0].mask.bbox_xyxy == pytest.approx((480, 140, 1121, 1061), abs=2)


def test_a_bottle_before_green_has_its_border_on_the_edge(halves: tuple[SamEncoder, SamDecoder]) -> None:
    truth = drawn(bottle, 1600, 1200)
    photo = photographed(truth, (190, 190, 192), (26, 176, 56))
    [found] = asked(halves, photo, Prompts((), ((612.0, 222.0, 988.0, 1048.0),)))
    assert border_off_px(found[0].mask.pixels > 0, truth) < 0.5


def test_a_ring_before_white_is_open_first_and_filled_second(halves: tuple[SamEncoder, SamDecoder]) -> None:
    truth = drawn(ring)
    [found] = asked(halves, photographed(truth, (200, 160, 60), (255, 255, 255)), Prompts())
    assert iou(found[0].mask.pixels > 0, truth) > 0.98
    assert found[0].mask.pixels[300, 400] == 0
    assert found[1].mask.pixels[300, 400] == 255


def test_three_pieces_by_a_box_and_without_a_prompt(halves: tuple[SamEncoder, SamDecoder]) -> None:
    truth = drawn(three)
    photo = photographed(truth, (60, 90, 160), (225, 222, 218))
    for found in asked(halves, photo, Prompts((), ((95.0, 220.0, 705.0, 380.0),)), Prompts()):
        assert iou(found[0].mask.pixels > 0, truth) > 0.98
