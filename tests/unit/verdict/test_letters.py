"""Readings of a line: exact where a wrong letter matters, nearly elsewhere."""

from __future__ import annotations

import pytest

from packshot.verdict.letters import compare, find_in, holds


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        ("30 ml / 1.0 fl oz", "30ml/1.0 fl oz"),
        ("Net Wt. 250 g", "NET WT 250 g"),
        ("1,5 %", "1.5%"),
        ("Ingredients: Aqua, Glycerin, Parfum", "Ingredients: Aqua; Glycerin Parfurn"[:-2] + "m"),
    ],
)
def test_spaces_case_and_punctuation_do_not_count(expected: str, found: str) -> None:
    assert compare(expected, found) is None


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        ("30 ml", "50 ml"),
        ("1.0 oz", "10 oz"),
        ("10 mg", "100 mg"),
        ("250 mg", "250 mcg"),
        ("LOT 4821-B7", "LOT 4821-D7"),
        ("per 100 g", "per 100"),
        ("Ingredients: Aqua, Glycerin, Parfum and 2", "Ingredients: Aqua, Glycerin, Parfum and"),
        ("Made in Italy with cold pressed oil of roses", "Made in Italy with cold pressed oil of roses 5"),
    ],
)
def test_a_digit_a_unit_and_a_code_are_exact(expected: str, found: str) -> None:
    deviation = compare(expected, found)
    assert deviation is not None
    assert deviation.exact


def test_of_other_words_one_letter_in_twenty_may_differ() -> None:
    assert compare("Made in Italy with cold pressed oil", "Made in ltaly with cold pressed oil") is None
    deviation = compare("AURORA", "AURQRA")
    assert deviation is not None
    assert (deviation.exact, round(deviation.cer, 2)) == (False, 0.17)
    exact = compare("Made in Italy with cold pressed oil", "Made in ltaly with cold pressed oil", ["Italy"])
    assert exact is not None
    assert exact.exact


def test_a_line_is_found_in_a_longer_text_but_not_in_a_part_of_a_number() -> None:
    artwork = "AURORA Vitamin C 15% serum 30 ml / 1.0 fl oz LOT 4821-B7"
    assert find_in(artwork, "serum 30 ml") is None
    assert find_in(artwork, "Vitamin C 15%") is None
    for wrong in ("0 ml", "serum 50 ml", "15% LOT", "C 1", "21-B7"):
        assert find_in(artwork, wrong) is not None, wrong


def test_a_required_word_is_no_part_of_a_longer_number() -> None:
    assert holds("Niacinamide 5mg daily", "5 mg")
    assert holds("30 ML / 1.0 OZ", "1.0 oz")
    assert not holds("Niacinamide 15 mg", "5 mg")
    assert not holds("1.5 mg", "5 mg")
    assert not holds("Vitamin C", "Vitamin D")
