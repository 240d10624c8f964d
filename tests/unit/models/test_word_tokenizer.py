"""The closed-vocabulary tokenizer takes any prompt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from packshot.errors import PackRefused
from packshot.models.engines.word_tokenizer import BOS, PAD, WordTokenizer

VOCAB = {"table": 3, "marble": 4, "light": 5, "berry": 6, "wood": 7, "box": 8}


def test_a_text_is_begin_words_end_and_padding() -> None:
    ids = WordTokenizer(VOCAB, {}, 6)(["Marble table, light", ""])
    assert ids.dtype == np.int64
    assert ids.tolist() == [[BOS, 4, 3, 5, PAD, PAD], [BOS, PAD, PAD, PAD, PAD, PAD]]


def test_case_and_unicode_form_make_no_difference() -> None:
    tokenizer = WordTokenizer({"café": 3}, {}, 4)
    assert tokenizer(["CAFÉ"]).tolist() == tokenizer(["cafe\u0301"]).tolist() == [[BOS, 3, PAD, PAD]]


def test_synonyms_may_mean_several_words_or_none() -> None:
    tokenizer = WordTokenizer(VOCAB, {"desk": "wood table", "the": ""}, 6)
    assert tokenizer(["the desk"]).tolist() == [[BOS, 7, 3, PAD, PAD, PAD]]


@pytest.mark.parametrize(("plural", "word"), [("tables", "table"), ("boxes", "box"), ("berries", "berry")])
def test_a_plural_is_read_as_its_singular(plural: str, word: str) -> None:
    assert WordTokenizer(VOCAB, {}, 4).ids_of(plural) == [VOCAB[word]]


def test_unknown_words_are_left_out_and_named() -> None:
    tokenizer = WordTokenizer(VOCAB, {}, 5)
    assert tokenizer(["spaceship table"]).tolist() == [[BOS, 3, PAD, PAD, PAD]]
    assert tokenizer.unknown("a spaceship on a table") == ["a", "spaceship", "on", "a"]


@pytest.mark.parametrize("text", ["", " \n", "!!! 🫖", "zorbly quaxle", "在大理石桌子上", "the the"])
def test_a_text_without_a_known_word_is_blank(text: str) -> None:
    tokenizer = WordTokenizer(VOCAB, {"the": ""}, 5)
    assert tokenizer.blank(text)
    assert tokenizer([text]).tolist() == tokenizer([""]).tolist()
    assert not tokenizer.blank(text + " table")


def test_a_long_text_loses_unknown_words_first_and_always_ends() -> None:
    tokenizer = WordTokenizer(VOCAB, {}, 5)
    assert tokenizer(["once upon a marble table"]).tolist() == [[BOS, 4, 3, PAD, PAD]]
    assert tokenizer(["marble table light wood"]).tolist() == [[BOS, 4, 3, 5, PAD]]
    assert tokenizer.overflow("marble table light wood") == 1


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    tokenizer = WordTokenizer(VOCAB, {"desk": "table"}, 7)
    tokenizer.save(tmp_path)
    again = WordTokenizer.from_files(tmp_path)
    assert (again.vocab, again.synonyms, again.max_length) == (tokenizer.vocab, tokenizer.synonyms, 7)
    assert again.vocab_size == 9


@pytest.mark.parametrize(
    ("vocab", "synonyms", "length"),
    [({"<unk>": 7}, {}, 8), ({"a": 3, "b": 3}, {}, 8), (VOCAB, {"desk": "spaceship"}, 8), (VOCAB, {}, 2)],
)
def test_a_vocabulary_that_contradicts_itself_is_refused(
    vocab: dict[str, int], synonyms: dict[str, str], length: int
) -> None:
    with pytest.raises(PackRefused):
        WordTokenizer(vocab, synonyms, length)
