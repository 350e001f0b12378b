"""Laws of the tokeniser: robot and trainer must agree for ever."""

from __future__ import annotations

import numpy as np

from arfm_ros.core.values.spec import Language
from arfm_ros.core.values.text import PAD, compose, tokenize


def test_the_ids_of_known_words_never_change() -> None:
    check_value = 0xCBF43926  # of CRC-32, published for the text 123456789
    assert tokenize("123456789", 2, 512).tolist() == [1 + check_value % 511, PAD]
    assert tokenize("lift the cube", 5, 512).tolist() == [393, 438, 343, PAD, PAD]


def test_case_and_punctuation_do_not_matter() -> None:
    a, b = tokenize("Lift the CUBE!", 8, 512), tokenize("lift  the, cube", 8, 512)
    np.testing.assert_array_equal(a, b)


def test_the_order_of_words_is_kept() -> None:
    one, two = tokenize("red blue", 2, 512), tokenize("blue red", 2, 512)
    np.testing.assert_array_equal(one, two[::-1])
    assert one[0] != one[1]


def test_ids_lie_in_the_vocabulary_and_never_on_the_padding() -> None:
    text = " ".join(f"word{n}" for n in range(300))
    ids = tokenize(text, 300, 64)
    assert ids.min() >= 1 and ids.max() < 64


def test_words_beyond_the_length_are_dropped_and_nothing_is_padding() -> None:
    assert tokenize("a b c d", 2, 512).tolist() == tokenize("a b", 2, 512).tolist()
    assert tokenize("", 3, 512).tolist() == [PAD] * 3


def test_bare_instructions_have_small_letters_and_no_punctuation() -> None:
    spoken, state = 'Place it -- "gently" -- on table_2, É!', np.zeros(1, np.float32)
    bare = Language("tokenizer", template="<a.B>{instruction}<c!>", bare=True)
    assert compose(bare, spoken, state) == "<a.B>place it  gently  on table_2 é<c!>"
    plain = Language("tokenizer", template="{instruction}")
    assert compose(plain, spoken, state) == spoken
