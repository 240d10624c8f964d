"""The proof of text: what becomes of each line of a label in a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from packshot.contract.shot_spec import Canvas
from packshot.imaging.canvas import flatten, layer_transform
from packshot.models.read import Reading, TextLine
from packshot.types import U8, Cutout, Layer, Layout
from packshot.verdict.text import LineProof, Placed, compare_lines, compare_with_master, is_legible, read_product
from packshot.verdict.text_findings import text_findings
from tests.printed import LINES, card, reader

CANVAS = Canvas(400, 400)
QUAD = np.array([[0, 0], [100, 0], [100, 20], [0, 20]], np.float32)
WHOLE = Placed(np.array([[1, 0, 0], [0, 1, 0]], np.float32), np.full((200, 320), 255, np.uint8))


@pytest.fixture(scope="module")
def photo() -> list[TextLine]:
    return read_product(reader(), card()[..., :3])


def fates(proofs: Sequence[LineProof]) -> list[str]:
    return [proof.fate for proof in proofs]


def shown(product: U8, *, scale: float = 0.8, turn_deg: float = 0.0, flip: bool = False) -> tuple[U8, Placed]:
    """A picture of a product on grey, and its place."""
    layer = Layer(Cutout(product), 0.5, 0.5, scale, turn_deg, flip)
    flat = flatten(Layout(CANVAS, (layer,)))
    picture = np.where(flat.pixels[..., 3:] > 0, flat.rgb, 120).astype(np.uint8)
    return picture, Placed(layer_transform(layer, CANVAS), np.where(flat.alpha > 127, 255, 0).astype(np.uint8), flip)


@pytest.mark.parametrize(("turn_deg", "scale"), [(9.0, 0.85), (90.0, 0.8)])
def test_an_unchanged_label_is_the_same_however_its_layer_lies(
    photo: list[TextLine], turn_deg: float, scale: float
) -> None:
    picture, placed = shown(card(), scale=scale, turn_deg=turn_deg)
    proofs = compare_lines(reader(), card()[..., :3], photo, picture, placed)
    assert fates(proofs) == ["same"] * 3
    [finding] = text_findings(proofs, (400, 400), ["30 ml", "Vitamin C"])
    assert (finding.level, finding.box) == ("ok", None)


def test_a_changed_digit_is_found_at_its_place(photo: list[TextLine]) -> None:
    picture, placed = shown(card((LINES[0], "80 ml / 1.0 oz", LINES[2])))
    proofs = compare_lines(reader(), card()[..., :3], photo, picture, placed)
    assert fates(proofs) == ["same", "changed", "same"]
    [finding] = text_findings(proofs, (400, 400))
    assert finding.level == "failed"
    assert "'30 ml / 1.0 oz'" in finding.detail
    assert "'80 ml / 1.0 oz'" in finding.detail
    assert finding.box is not None
    left, top, right, bottom = finding.box
    assert 0.1 < left < 0.2 < 0.5 < right < 0.8
    assert 0.4 < top < 0.5 < bottom < 0.6


def test_a_further_line_is_found_and_a_missing_one_too(photo: list[TextLine]) -> None:
    picture, placed = shown(card((*LINES[:2], "")))
    assert fates(compare_lines(reader(), card()[..., :3], photo, picture, placed)) == ["same", "same", "changed"]
    blank = card((*LINES[:2], ""))[..., :3]
    more, placed = shown(card())
    proofs = compare_lines(reader(), blank, photo[:2], more, placed)
    assert fates(proofs) == ["same", "same", "added"]
    assert "does not have: 'Vitamin C 15%'" in text_findings(proofs, (400, 400))[0].detail


def test_a_mirrored_label_a_small_one_and_a_hidden_one_are_told_apart(photo: list[TextLine]) -> None:
    product = card()[..., :3]
    mirrored, placed = shown(card(), flip=True)
    proofs = compare_lines(reader(), product, photo, mirrored, placed, ["30 ml"])
    assert fates(proofs) == ["mirrored"] * 3
    details = [finding.detail for finding in text_findings(proofs, (400, 400), ["30 ml"])]
    assert len(details) == 4
    assert "remove the flip" in details[0]
    assert details[3].startswith("must_read words must be readable in the picture, and '30 ml' is not")
    small, placed = shown(card(), scale=0.1)  # letters of 3 px
    proofs = compare_lines(reader(), product, photo, small, placed)
    assert set(fates(proofs)) == {"unreadable"}
    assert {finding.level for finding in text_findings(proofs, (400, 400))} == {"warning"}
    low, placed = shown(card(), scale=0.2)  # of 6 px: read right, or not at all
    assert set(fates(compare_lines(reader(), product, photo, low, placed))) <= {"same", "unreadable"}
    picture, placed = shown(card())
    half = placed.shown.copy()
    half[:, 180:] = 0
    proofs = compare_lines(reader(), product, photo, picture, Placed(placed.matrix, half))
    assert set(fates(proofs)) == {"hidden"}


def test_a_script_that_the_reader_does_not_know_is_unreadable_and_not_the_same() -> None:
    # Of Cyrillic or Thai lines the reader gives the few signs that it knows, however certain it is.
    gaps = TextLine(QUAD, 20.0, Reading("25", 0.95))
    guess = TextLine(QUAD, 20.0, Reading("wjtntu 12", 0.7))
    assert not is_legible(gaps)
    assert not is_legible(guess)
    assert not is_legible(TextLine(QUAD, 20.0, Reading("", 0.0)))
    assert is_legible(TextLine(QUAD, 20.0, Reading("30 ml e", 0.95)))
    picture = card()[..., :3]
    assert fates(compare_lines(reader(), picture, [gaps], picture, WHOLE))[0] == "unreadable"


def test_the_lines_of_a_thai_label_are_unreadable_and_its_latin_line_is_compared() -> None:
    """Three lines of Thai, one with Thai digits, and one of Latin letters, drawn in the typeface Garuda of TLWG."""
    label = np.asarray(Image.open(Path(__file__).with_name("thai_label.png")).convert("RGB"))
    placed = Placed(WHOLE.matrix, np.full(label.shape[:2], 255, np.uint8))
    lines = read_product(reader(), label)
    amount = label.copy()
    amount[96:140, 168:206] = amount[96, 0]  # the digits are gone
    for picture in (label, amount):
        proofs = compare_lines(reader(), label, lines, picture, placed)
        assert fates(proofs) == ["unreadable"] * 3 + ["same"]
        found = text_findings(proofs, label.shape[:2], ["30 ml"])
        assert [finding.level for finding in found] == ["warning"] * 3
        assert all("the reader does not know its letters" in finding.detail for finding in found)


def test_a_master_may_show_more_than_the_picture_and_not_less(photo: list[TextLine]) -> None:
    master = [*photo, TextLine(QUAD, 20.0, Reading("LOT 4821-B7", 0.98))]
    picture, placed = shown(card(LINES[:2], size=(320, 140)))
    product = card(LINES[:2], size=(320, 140))[..., :3]
    proofs = compare_with_master(reader(), master, product, picture, placed)
    assert fates(proofs) == ["same", "same"]
    assert "as in the master" in text_findings(proofs, (400, 400), against="master")[0].detail
    other, placed = shown(card((LINES[0], "35 ml / 1.0 oz"), size=(320, 140)))
    proofs = compare_with_master(reader(), master, product, other, placed)
    assert [(proof.fate, proof.expected) for proof in proofs] == [("same", LINES[0]), ("changed", LINES[1])]


@pytest.mark.soak
def test_a_curved_line_is_compared_or_unreadable_and_never_changed() -> None:
    flat = card(("NATURAL MINERAL WATER",), size=(420, 200), font_px=26)[..., :3]
    rows, columns = np.mgrid[0:200, 0:420].astype(np.float32)
    bent = cv2.remap(
        flat, columns, rows + 40 - 45 * np.cos((columns - 210) / 130), cv2.INTER_CUBIC, borderValue=(220,) * 3
    )
    lines = read_product(reader(), bent)
    proofs = compare_lines(reader(), bent, lines, bent, Placed(WHOLE.matrix, np.full((200, 420), 255, np.uint8)))
    assert set(fates(proofs)) <= {"same", "unreadable"}


def test_of_many_lines_the_last_finding_counts_the_rest() -> None:
    proofs = [LineProof("changed", f"{n} mg", f"{n + 1} mg", QUAD, 20.0) for n in range(30)]
    findings = text_findings(proofs, (100, 100))
    assert len(findings) == 20
    assert findings[-1].detail == "11 more lines are like these"
    [nothing] = text_findings([], (100, 100))
    assert (nothing.level, nothing.value) == ("ok", 0)
