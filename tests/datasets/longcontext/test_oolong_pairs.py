"""OOLONG-Pairs: the twenty relations, and F1 over pairs."""

import re
from collections import Counter
from datetime import date
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.core.task import ContextFile
from palaestra.datasets.longcontext.oolong_pairs import OOLONG_PAIRS, RELATIONS, question, score
from palaestra.datasets.longcontext.window import Spell
from palaestra.datasets.shelf import Shelf
from palaestra.models.programs.longcontext.labels import label_of

USERS = st.sets(st.integers(1, 9))


def test_f1_of_pairs() -> None:
    assert score([], [1], "none") == 1.0, "both empty"
    assert score([], [1], "(1, 2)") == 0.0
    assert score([1, 2], [1, 2], "") == 0.0
    assert score([1, 2], [1, 2], "(1, 2)") == score([1, 2], [1, 2], "(2, 1)\n(1, 2)") == 1.0
    assert score([1, 2, 3], [1, 2, 3], "(1, 2)\n(1, 9)") == pytest.approx(2 * 1 / (3 + 2))


@given(USERS, USERS, st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_f1_is_that_of_the_sets_written_out(
    first: set[int], second: set[int], said: list[tuple[int, int]]
) -> None:
    gold = {frozenset((a, b)) for a in first for b in second if a != b}
    named = {frozenset(pair) for pair in said}
    right = len(gold & named)
    expected = 2 * right / (len(gold) + len(named)) if gold or named else 1.0
    assert score(sorted(first), sorted(second), "\n".join(map(str, said))) == pytest.approx(expected)


def test_a_limit_of_dates_is_true_of_a_user_without_such_lines() -> None:
    rule = RELATIONS[3].first  # human being or location, all human beings after January 6, 2023
    early, late = date(2023, 1, 6), date(2023, 1, 7)
    assert rule.holds({"location": Spell(1, early, early)})
    assert rule.holds({"human being": Spell(1, late, late)})
    assert not rule.holds({"human being": Spell(2, early, late), "location": Spell(1, late, late)})
    assert not rule.holds({"entity": Spell(1, late, late)}), "one of the labels must be there"


def test_amounts_are_least_or_exact() -> None:
    one, other = RELATIONS[18]  # two locations and an entity; exactly one description and abbreviation
    assert one.holds({"location": Spell(3), "entity": Spell(1)})
    assert not one.holds({"location": Spell(1), "entity": Spell(1)})
    assert other.holds({"description and abstract concept": Spell(1), "abbreviation": Spell(1)})
    assert not other.holds({"description and abstract concept": Spell(2), "abbreviation": Spell(1)})


def test_ten_relations_are_symmetric_and_all_are_told_apart() -> None:
    assert [relation.first == relation.second for relation in RELATIONS] == [True] * 10 + [False] * 10
    assert len({question(relation) for relation in RELATIONS}) == 20
    assert "all lines that are a human being must be after Jan 06, 2023" in question(RELATIONS[3])
    assert question(RELATIONS[10]).endswith(
        "one user has at least 1 line with entity and at least 1 line with abbreviation, "
        "and the other user has exactly 1 line with entity."
    )


def test_an_answer_from_the_lines_is_right(tmp_path: Path) -> None:
    task = OOLONG_PAIRS.tasks(12, 8000, Shelf(tmp_path))[
        11
    ]  # two numeric values; a location and a human being
    assert isinstance(task.context, ContextFile)
    lines = re.findall(
        r"User: (\d+) \|\| Instance: (.+)", Path(task.context.path).read_text(encoding="utf-8")
    )
    has: dict[int, Counter[str]] = {}
    for user, asked in lines:
        has.setdefault(int(user), Counter())[label_of(asked)] += 1

    def follows(one: int, other: int) -> bool:
        return (
            has[one]["numeric value"] >= 2 and has[other]["location"] >= 1 and has[other]["human being"] >= 1
        )

    pairs = [(a, b) for a, b in combinations(sorted(has), 2) if follows(a, b) or follows(b, a)]
    assert len(pairs) > 20
    assert OOLONG_PAIRS.utility(task, "\n".join(map(str, pairs))) == 1.0
    assert OOLONG_PAIRS.utility(task, "\n".join(map(str, pairs[::2]))) == pytest.approx(2 / 3, abs=0.02)
