"""Needles, chains and counts, found in the contexts by other means than those that put them there."""

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from palaestra.core.task import ContextFile, Task
from palaestra.datasets.families import long_context_family
from palaestra.datasets.longcontext.haystack import recall
from palaestra.datasets.longcontext.variable_tracking import VariableTracking
from palaestra.datasets.shelf import Shelf


def text_of(task: Task) -> str:
    assert isinstance(task.context, ContextFile)
    return Path(task.context.path).read_text(encoding="utf-8")


def test_the_score_is_the_share_of_references_contained_in_any_case() -> None:
    assert recall(["123", "Abc"], "first ABC, then 123") == 1.0
    assert recall(["123", "abc"], "123") == 0.5
    assert recall(["123"], "") == 0.0
    assert recall(["123"], "9" * 1024 + "123") == 0.0, "an answer that lists everything earns nothing"


@pytest.mark.parametrize(
    ("name", "values", "keys"),
    [
        ("niah-single", 1, 1),
        ("niah-single-uuid", 1, 1),
        ("niah-multikey", 1, 4),
        ("niah-multivalue", 4, 1),
        ("niah-multiquery", 4, 4),
    ],
)
def test_noise_has_the_needles_asked_for_and_no_others(
    name: str, values: int, keys: int, tmp_path: Path
) -> None:
    for task in long_context_family(name).tasks(5, 4000, Shelf(tmp_path)):
        needles = re.findall(r"magic \w+ for (\S+) is: (\S+)\.\n", text_of(task))
        assert len({key for key, _ in needles}) == keys
        asked = [value for key, value in needles if key in task.prompt]
        assert sorted(asked) == sorted(task.metadata["values"])
        assert len(asked) == values
        assert ("are all" in task.prompt) == (values > 1)


def test_needles_stand_anywhere(tmp_path: Path) -> None:
    depths = [
        text_of(task).index("magic") / len(text_of(task))
        for task in long_context_family("niah-single").tasks(60, 2000, Shelf(tmp_path))
    ]
    assert min(depths) < 0.1
    assert max(depths) > 0.9


@pytest.mark.parametrize("name", ["niah-multikey-needles", "niah-multikey-uuid"])
def test_a_haystack_of_needles_has_the_key_once(name: str, tmp_path: Path) -> None:
    for task in long_context_family(name).tasks(3, 8000, Shelf(tmp_path)):
        needles = re.findall(r"magic \w+ for (\S+) is: (\S+)\.\n", text_of(task))
        assert len(needles) == text_of(task).count("\n") > 200
        assert [value for key, value in needles if key in task.prompt] == task.metadata["values"]


def test_chains_keep_their_order_and_do_not_mix(tmp_path: Path) -> None:
    family = VariableTracking("variable-tracking", chains=3, hops=2)
    for task in family.tasks(5, 3000, Shelf(tmp_path)):
        values: dict[str, str] = {}
        for name, source in re.findall(r"VAR (\w+) = (?:VAR )?(\w+)", text_of(task)):
            values[name] = values.get(source, source)
        assert len(values) == 9
        (asked,) = re.findall(r"value (\d+)", task.prompt)
        assert {name for name, value in values.items() if value == asked} == set(task.metadata["values"])


def test_common_words_stand_thirty_times_and_the_others_three_times(tmp_path: Path) -> None:
    (task,) = long_context_family("common-words").tasks(1, 8000, Shelf(tmp_path))
    entries = re.findall(r"(\d+)\. (\w+) ", text_of(task))
    assert [int(number) for number, _ in entries] == list(range(1, len(entries) + 1))
    times = Counter(word for _, word in entries)
    assert Counter(times.values()) == {30: 10, 3: len(times) - 10}
    assert {word for word, count in times.items() if count == 30} == set(task.metadata["values"])
    neighbours = [first == second for (_, first), (_, second) in pairwise(entries)]
    assert sum(neighbours) < 0.05 * len(entries), "the list is mixed"


def test_the_most_frequent_coded_words_are_clear(tmp_path: Path) -> None:
    for task in long_context_family("frequent-words").tasks(5, 2000, Shelf(tmp_path)):
        (dots, _), *ranked = Counter(text_of(task).split()).most_common(5)
        assert dots == "...."
        assert [word for word, _ in ranked[:3]] == task.metadata["values"]
        assert ranked[2][1] > ranked[3][1]
