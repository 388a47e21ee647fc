"""Words to ids."""

from __future__ import annotations

import pytest

from sop_bench.errors import ConfigurationError
from sop_bench.policy.tokenizer import Tokenizer

TOKENIZER = Tokenizer.build(["put the green box left", "Put the red box right."], max_words=6)


def test_the_vocabulary_does_not_depend_on_the_order_of_instructions():
    other = Tokenizer.build(["Put the red box right.", "put the green box left"], max_words=6)
    assert other.words == TOKENIZER.words == ("box", "green", "left", "put", "red", "right", "the")


def test_order_counts_and_short_instructions_are_padded():
    ids = TOKENIZER(["put box", "box put"])
    assert ids.tolist() == [[4, 1, 0, 0, 0, 0], [1, 4, 0, 0, 0, 0]]


def test_an_unknown_word_is_refused_by_name():
    with pytest.raises(ConfigurationError, match=r"Unknown word 'blue'.*Allowed: box, green"):
        TOKENIZER.ids("put the blue box left")


@pytest.mark.parametrize("text", ["", "put the the the the the the"])
def test_an_instruction_of_no_or_too_many_words_is_refused(text):
    with pytest.raises(ConfigurationError, match="allowed: 1 to 6"):
        TOKENIZER.ids(text)
