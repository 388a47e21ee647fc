"""A task is found in the words of its instruction."""

from __future__ import annotations

import pytest

from sop_bench.errors import ConfigurationError
from sop_bench.policy.config import TaskConfig
from sop_bench.policy.recogniser import Recogniser
from sop_bench.policy.tokenizer import Tokenizer, split_words

INSTRUCTIONS = {
    "restock/flat-shelf": ["put the red box in the left slot", "put the blue can in the right slot"],
    "restock/correct": ["move the red can to the left slot", "move the blue box to the right slot"],
    "restock/freezer": ["put the red can in the left side of the freezer"],
    "cloth/fold": ["fold the red cloth in half"],
    "cloth/quarter": ["fold the blue cloth in quarters"],
}


def recogniser(instructions: dict[str, list[str]]) -> tuple[Recogniser, Tokenizer]:
    tasks = [
        TaskConfig(name, tuple(sorted({word for text in texts for word in split_words(text)})), ())
        for name, texts in instructions.items()
    ]
    tokenizer = Tokenizer.build([text for texts in instructions.values() for text in texts], 12)
    return Recogniser(tasks, tokenizer), tokenizer


def test_every_instruction_is_recognised_also_in_combinations_never_heard():
    recognise, tokenizer = recogniser(INSTRUCTIONS)
    recognise.check(INSTRUCTIONS, tokenizer)
    unheard = ["put the blue box in the left slot", "put the blue box in the right side of the freezer"]
    assert recognise(tokenizer(unheard)).tolist() == [0, 2]


def test_the_narrower_task_is_meant_where_two_know_all_words():
    recognise, tokenizer = recogniser(
        {"a/wide": ["stack the red box", "stack the can"], "a/narrow": ["stack the can"]}
    )
    assert recognise(tokenizer(["stack the can", "stack the red can"])).tolist() == [1, 0]


def test_tasks_that_say_the_same_are_refused():
    instructions = {**INSTRUCTIONS, "cloth/again": ["fold the red cloth in half"]}
    recognise, tokenizer = recogniser(instructions)
    with pytest.raises(ConfigurationError, match=r"'fold the red cloth in half' of cloth/again is taken for"):
        recognise.check(instructions, tokenizer)


def test_a_policy_of_one_task_takes_everything_for_it():
    tokenizer = Tokenizer(["a", "b"], 3)
    assert Recogniser((), tokenizer)(tokenizer(["a", "b a"])).tolist() == [0, 0]
