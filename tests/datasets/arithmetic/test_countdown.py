"""Countdown: levels, ranges, splits and the verifier."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.core.errors import ConfigError
from palaestra.core.task import Task
from palaestra.datasets.arithmetic.countdown import LEVEL_2, LEVEL_5, SMALL
from palaestra.datasets.arithmetic.formula import read_formula


@pytest.mark.parametrize(
    ("answer", "worth"),
    [("25*4+7", 1), ("7+4*25 = 107", 1), ("100+7", 0), ("25*4", 0), ("25*4+7*1", 0), ("25+25*4-25+7", 0)],
)
def test_numbers_are_used_at_most_once(answer: str, worth: float) -> None:
    task = Task(id="one", prompt="", metadata={"numbers": [7, 25, 4, 60], "target": 107})
    assert LEVEL_5.utility(task, answer) == worth


@given(st.integers(0, 50))
def test_puzzles_stay_in_their_ranges(seed: int) -> None:
    for task in LEVEL_5.tasks(3, "train", seed):
        assert len(task.metadata["numbers"]) == 5
        assert all(1 <= number <= 100 for number in task.metadata["numbers"])
        assert 1 <= task.metadata["target"] <= 999


def test_three_of_four_examples_are_solutions_and_the_rest_use_the_numbers() -> None:
    examples = SMALL.examples(1000)
    assert 0.7 < sum(SMALL.utility(*example) for example in examples) / 1000 < 0.85
    for task, answer in examples:
        formula = read_formula(answer)
        assert formula is not None
        assert sorted(formula.numbers) == sorted(task.metadata["numbers"])


def test_no_puzzle_is_in_both_splits_in_any_order_of_its_numbers() -> None:
    def puzzles(tasks: list[Task]) -> set[tuple[object, ...]]:
        return {(*sorted(task.metadata["numbers"]), task.metadata["target"]) for task in tasks}

    train = puzzles([task for seed in range(3) for task in SMALL.tasks(1500, "train", seed)])
    held_out = puzzles([task for seed in range(3) for task in SMALL.tasks(500, "held-out", seed)])
    assert not train & held_out
    assert len(puzzles(SMALL.tasks(1500, "train"))) == 1500


def test_the_last_puzzle_is_told() -> None:
    with pytest.raises(ConfigError, match=r"countdown-2 has \d+ held-out tasks; 9000 are asked for"):
        LEVEL_2.tasks(9000, "held-out")
