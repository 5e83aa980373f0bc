"""Composed calls: levels, splits, examples with their working, the exact verifier."""

import re

import pytest

from palaestra.core.task import Task
from palaestra.datasets.compositions.expression import LONGEST, Call, Expression
from palaestra.datasets.compositions.family import LEVEL_1, LEVEL_2, LEVEL_6
from palaestra.datasets.compositions.functions import TRAINED
from palaestra.datasets.families import family


def functions(task: Task) -> list[int]:
    return [int(number) for number in re.findall(r"func_(\d+)", task.prompt)]


def test_an_expression_is_written_as_it_is_run() -> None:
    expression = Expression((Call(17, None), Call(11, 1), Call(5, "ab")), "a-bc")
    assert expression.write() == "func_5(func_11(func_17(x),1),ab)"
    assert expression.results() == ["cb-a", "dc-b", "abdc-b"]
    assert expression.definitions().splitlines()[0] == "func_5(text, prefix): The prefix, then the text."


def test_the_level_is_the_number_of_calls() -> None:
    assert all(len(functions(task)) == 6 for task in LEVEL_6.tasks(50, "train"))
    assert all(len(task.reference or "") in range(1, LONGEST + 1) for task in LEVEL_6.tasks(50, "train"))


def test_training_composes_one_part_of_the_functions_and_held_out_tasks_the_other() -> None:
    for task in LEVEL_2.tasks(500, "train"):
        assert set(functions(task)) <= TRAINED
    for task in LEVEL_2.tasks(500, "held-out"):
        assert not set(functions(task)) & TRAINED


def test_no_input_is_in_both_splits() -> None:
    train = {task.prompt.split("x=")[1] for task in LEVEL_1.tasks(3000, "train")}
    held_out = {task.prompt.split("x=")[1] for task in LEVEL_1.tasks(3000, "held-out")}
    assert not train & held_out
    assert {function for task in LEVEL_1.tasks(3000, "held-out") for function in functions(task)} == set(
        range(25)
    )


def test_examples_show_every_function_alone_and_a_few_compositions_with_their_working() -> None:
    examples = LEVEL_2.examples(2000)
    assert all(LEVEL_2.utility(task, answer) == 1 for task, answer in examples)
    alone = [functions(task)[0] for task, answer in examples if "\n" not in answer]
    assert set(alone) == set(range(25))
    assert 1400 < len(alone) < 1600


def test_the_last_line_counts_to_the_letter() -> None:
    task = Task(id="one", prompt="", reference="ab-c")
    assert [LEVEL_2.utility(task, answer) for answer in ("ab-c", "cb\nab-c\n", "ab-c\ncb", "Ab-c", "")] == [
        1,
        1,
        0,
        0,
        0,
    ]


@pytest.mark.parametrize("level", range(1, 7))
def test_tasks_follow_from_the_seed(level: int) -> None:
    found = family(f"compositions-{level}")
    assert found.tasks(5, "train", seed=3) == found.tasks(9, "train", seed=3)[:5]
    assert found.tasks(5, "train", seed=3) != found.tasks(5, "train", seed=4)
    assert len({task.id for task in found.tasks(500, "held-out")}) == 500
