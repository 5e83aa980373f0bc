"""Pairs of users that stand in a relation: OOLONG-Pairs (Zhang, Kraska and Khattab, arXiv 2512.24601)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import date
from typing import NamedTuple

from palaestra.core.task import Task
from palaestra.datasets.longcontext.instances import LABELS
from palaestra.datasets.longcontext.window import DATE, Spell, Window, make_window
from palaestra.datasets.shelf import Shelf

Spells = Mapping[str, Spell]
"""What one user asked, by label."""

_LABELS = {
    "A": "abbreviation",
    "D": "description and abstract concept",
    "E": "entity",
    "H": "human being",
    "L": "location",
    "N": "numeric value",
}


class Limit(NamedTuple):
    """All of a user's lines with a label are after, or before, a day; true as well of a user without any."""

    label: str
    side: str
    day: date

    def holds(self, spells: Spells) -> bool:
        spell = spells.get(_LABELS[self.label])
        if spell is None:
            return True
        return spell.first > self.day if self.side == "after" else spell.last < self.day

    def __str__(self) -> str:
        return f"and all lines that are a {_LABELS[self.label]} must be {self.side} {self.day:{DATE}}"


class Amount(NamedTuple):
    label: str
    times: int
    exactly: bool

    def holds(self, spells: Spells) -> bool:
        spell = spells.get(_LABELS[self.label])
        found = spell.count if spell else 0
        return found == self.times if self.exactly else found >= self.times

    def __str__(self) -> str:
        many = f"{'exactly' if self.exactly else 'at least'} {self.times} line{'s' * (self.times > 1)}"
        return f"{many} with {_LABELS[self.label]}"


class Either(NamedTuple):
    """At least one line with one label or another, within a limit if there is one."""

    labels: str
    limit: Limit | None

    def holds(self, spells: Spells) -> bool:
        some = any(_LABELS[label] in spells for label in self.labels)
        return some and (self.limit is None or self.limit.holds(spells))

    def __str__(self) -> str:
        either = f"at least 1 line with {' or '.join(_LABELS[label] for label in self.labels)}"
        return f"{either}, {self.limit}" if self.limit else either


class All(NamedTuple):
    amounts: tuple[Amount, ...]

    def holds(self, spells: Spells) -> bool:
        return all(amount.holds(spells) for amount in self.amounts)

    def __str__(self) -> str:
        return " and ".join(map(str, self.amounts))


class Relation(NamedTuple):
    """Holds of two users in either order; with one rule only, both must follow it."""

    first: Either | All
    second: Either | All


def _all(text: str) -> All:
    """`E1 A=1`: at least one entity and exactly one abbreviation."""
    return All(tuple(Amount(each[0], int(each[-1]), "=" in each) for each in text.split()))


def _both(labels: str, limit: Limit | None = None) -> Relation:
    return Relation(Either(labels, limit), Either(labels, limit))


def _one_and_other(one: str, other: str) -> Relation:
    return Relation(_all(one), _all(other))


RELATIONS = (
    _both("NL"),
    _both("EH"),
    _both("DA"),
    _both("HL", Limit("H", "after", date(2023, 1, 6))),
    _both("EN", Limit("E", "before", date(2023, 3, 15))),
    _both("LA"),
    _both("DN", Limit("N", "after", date(2023, 2, 1))),
    _both("HD"),
    _both("EL", Limit("L", "after", date(2023, 4, 10))),
    _both("NA", Limit("A", "before", date(2023, 5, 20))),
    _one_and_other("E1 A1", "E=1"),
    _one_and_other("N2", "L1 H1"),
    _one_and_other("D=1", "A1 E1"),
    _one_and_other("H1 N1", "L=2"),
    _one_and_other("E1 L1 A1", "N=1"),
    _one_and_other("D1 H1", "E2 A=1"),
    _one_and_other("N=1", "L1 D1"),
    _one_and_other("A1 H=1", "E1 N1"),
    _one_and_other("L2 E1", "D=1 A=1"),
    _one_and_other("N1 H1", "L1 E1 A=1"),
)
"""The twenty published ones, in their order."""

FORM = "List all pairs in the format (user_id_1, user_id_2), one pair per line, the lower id first."


class OolongPairs:
    """The answer grows with the square of the users: it has to be computed, and cannot be spelled out."""

    name = "oolong-pairs"

    def tasks(self, count: int, tokens: int, shelf: Shelf, seed: int = 0) -> list[Task]:
        """Each window is asked about all relations in turn."""
        tasks: list[Task] = []
        for start in range(0, count, len(RELATIONS)):
            window = make_window(f"oolong-{tokens}-{seed}-{start}", tokens, shelf)
            for index, relation in zip(range(start, count), RELATIONS, strict=False):
                name = f"{self.name}-{tokens}-{seed}-{index}"
                tasks.append(self._task(name, relation, window, tokens))
        return tasks

    def utility(self, task: Task, answer: str) -> float:
        return score(task.metadata["first"], task.metadata["second"], answer)

    def _task(self, name: str, relation: Relation, window: Window, tokens: int) -> Task:
        return Task(
            id=name,
            family=self.name,
            prompt=question(relation),
            answer_format=FORM,
            context=window.context,
            metadata={
                "first": _following(relation.first, window.tally.users),
                "second": _following(relation.second, window.tally.users),
                "tokens": tokens,
            },
        )


def question(relation: Relation) -> str:
    labels = ", ".join(f"'{label}'" for label in LABELS)
    asked = f"In the data above, each line has one of the labels {labels}. List all pairs of users such that "
    if relation.first == relation.second:
        return f"{asked}both users have {relation.first}."
    return f"{asked}one user has {relation.first}, and the other user has {relation.second}."


def score(first: Collection[int], second: Collection[int], answer: str) -> float:
    """F1 over unordered pairs of a user in `first` and another in `second`; 1 when there are none and none is
    given.

    >>> score([1, 2, 3], [1, 2, 3], "(1, 2)\\n(2, 1)\\n(1, 9)")
    0.4
    """
    ones, others = set(first), set(second)
    both = len(ones & others)
    # Ordered pairs of different users, less those that hold in both orders.
    gold = len(ones) * len(others) - both - both * (both - 1) // 2
    pairs = {(min(pair), max(pair)) for pair in _pairs(answer)}
    right = sum(a != b and ((a in ones and b in others) or (b in ones and a in others)) for a, b in pairs)
    return 2 * right / (gold + len(pairs)) if gold or pairs else 1.0


def _pairs(answer: str) -> Iterable[tuple[int, int]]:
    return ((int(a), int(b)) for a, b in re.findall(r"\(\s*(\d+)\s*,\s*(\d+)\s*\)", answer))


def _following(rule: Either | All, users: Mapping[int, Spells]) -> list[int]:
    return sorted(user for user, spells in users.items() if rule.holds(spells))


OOLONG_PAIRS = OolongPairs()
