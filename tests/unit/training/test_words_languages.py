"""Words of other languages are read by the tokenizer as words that the scenes know,
and never take an English one's place."""

from packshot.models.engines.word_tokenizer import WordTokenizer
from training.mini.words import SYNONYMS
from training.mini.words_languages import WORDS
from training.scenes.words import all_words

KNOWN = {word: index for index, word in enumerate(all_words(), 3)}


def test_every_foreign_word_is_read_as_known_ones_and_hides_no_english_one() -> None:
    tokenizer = WordTokenizer(KNOWN, WORDS, 24)  # refuses a meaning outside the vocabulary
    assert [word for word in WORDS if tokenizer.words(word) != [word]] == []
    assert not set(WORDS) & {*KNOWN, *SYNONYMS}


def test_a_prompt_says_the_same_in_four_languages() -> None:
    tokenizer = WordTokenizer(KNOWN, {**WORDS, **SYNONYMS}, 24)
    wanted = set(tokenizer.known("wood table, brick wall"))
    for prompt in ("Holztisch, Ziegelmauer", "table en bois, mur de briques", "una mesa de madera, muro de ladrillos"):
        assert (set(tokenizer.known(prompt)), tokenizer.unknown(prompt)) == (wanted, []), prompt
