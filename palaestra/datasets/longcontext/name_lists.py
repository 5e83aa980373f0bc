"""Two tasks that a model does better when the prompt is said twice: NameIndex and MiddleMatch.

Leviathan et al., "Prompt Repetition Improves Non-Reasoning LLMs" (arXiv 2512.14982).
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator, Sequence

from palaestra.core.task import Task
from palaestra.datasets.longcontext.words import FIRST_NAMES, LAST_NAMES

NAMES, ASKED = 50, 25
ITEMS, DISTINCT = 40, 10
FORM = "Answer with the full name and nothing else."


class NameIndex:
    """Which is the 25th of fifty names?"""

    name = "name-index"

    def tasks(self, count: int, seed: int = 0) -> list[Task]:
        return [self._task(f"{self.name}-{seed}-{index}") for index in range(count)]

    def utility(self, task: Task, answer: str) -> float:
        return names_it(task.reference or "", answer)

    def _task(self, name: str) -> Task:
        names = _draw_names(NAMES, random.Random(name))
        prompt = f"Here is a list of names:\n\n{', '.join(names)}\n\nWhat is the {ASKED}th name? {FORM}"
        return Task(
            id=name, family=self.name, prompt=prompt, reference=names[ASKED - 1], metadata={"names": names}
        )


class MiddleMatch:
    """Which name of a list with repetitions stands directly between two others?"""

    name = "middle-match"

    def tasks(self, count: int, seed: int = 0) -> list[Task]:
        return [self._task(f"{self.name}-{seed}-{index}") for index in range(count)]

    def utility(self, task: Task, answer: str) -> float:
        return names_it(task.reference or "", answer)

    def _task(self, name: str) -> Task:
        draw = random.Random(name)
        names = _draw_names(DISTINCT, draw)
        while True:
            items = draw.choices(names, k=ITEMS)
            if clear := list(_clear_triples(items)):
                break
        before, middle, after = draw.choice(clear)
        prompt = (
            f"Here is a list of names, some of them more than once:\n\n{', '.join(items)}\n\n"
            f"Which name stands directly between {before} and {after}? {FORM}"
        )
        return Task(id=name, family=self.name, prompt=prompt, reference=middle, metadata={"items": items})


def matches(items: Sequence[str], one: str, other: str) -> list[str]:
    """What stands directly between the two, in either order.

    >>> matches(["A", "x", "B", "y", "A"], "A", "B")
    ['x', 'y']
    """
    triples = zip(items, items[1:], items[2:], strict=False)
    return [middle for before, middle, after in triples if {before, after} == {one, other}]


def names_it(gold: str, answer: str) -> float:
    """1 if the answer has that name and no other; the words around it do not count."""
    said = set(re.findall(r"[A-Z]\w+ [A-Z]\w+", answer))
    return float(said == {gold})


def _clear_triples(items: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Three different names in a row, of which the outer ones enclose nothing anywhere else."""
    for before, middle, after in zip(items, items[1:], items[2:], strict=False):
        if len({before, middle, after}) == 3 and len(matches(items, before, after)) == 1:
            yield before, middle, after


def _draw_names(count: int, draw: random.Random) -> list[str]:
    return [
        f"{first} {last}"
        for first, last in draw.sample(list(itertools.product(FIRST_NAMES, LAST_NAMES)), count)
    ]


NAME_INDEX = NameIndex()
MIDDLE_MATCH = MiddleMatch()
