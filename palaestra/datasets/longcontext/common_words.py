"""The most common words of a list: RULER's `cwe` task (Hsieh et al., arXiv 2404.06654)."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Iterator

from palaestra.core.task import Task
from palaestra.datasets.longcontext.haystack import ANSWER_TOKENS, recall, too_short
from palaestra.datasets.longcontext.words import coined
from palaestra.datasets.shelf import Shelf

COMMON = 10
TIMES = (30, 3)
"""How often a common word stands in the list, and how often any other."""
TIMES_IN_SHORT, SHORT = (6, 1), 4096
"""The same in lists of fewer tokens than that."""
WORDS = 85 * 85 * 85
"""That are drawn from, so that no two tasks have the same ones."""


class CommonWords:
    """Ten words stand in a numbered list thirty times each, all others three times."""

    name = "common-words"

    def tasks(self, count: int, tokens: int, shelf: Shelf, seed: int = 0) -> list[Task]:
        return [self._task(f"{self.name}-{tokens}-{seed}-{index}", tokens, shelf) for index in range(count)]

    def utility(self, task: Task, answer: str) -> float:
        return recall(task.metadata["values"], answer)

    def _task(self, name: str, tokens: int, shelf: Shelf) -> Task:
        prompt = "What are the 10 most common words in the list above?"
        room = tokens - ANSWER_TOKENS - shelf.count(prompt)
        draw = random.Random(name)
        start = draw.randrange(WORDS)
        times = TIMES if tokens >= SHORT else TIMES_IN_SHORT
        entries = shelf.fitting(_entries(start, itertools.count(), *times), room)
        entries -= entries % times[1]
        if entries <= COMMON * times[0]:
            raise too_short(self.name, tokens)
        common = [coined(start + index) for index in range(COMMON)]
        return Task(
            id=name,
            family=self.name,
            prompt=prompt,
            context=shelf.keep(_entries(start, _shuffled(entries, draw), *times)),
            reference=", ".join(common),
            metadata={"values": common, "tokens": tokens},
        )


def _entries(start: int, order: Iterable[int], common: int, others: int) -> Iterator[str]:
    """The list: if it were sorted, the entry at an index of `order` would stand there."""
    for number, index in enumerate(order, 1):
        rest = index - COMMON * common
        word = index // common if rest < 0 else COMMON + rest // others
        yield f"{number}. {coined(start + word)} "


def _shuffled(count: int, draw: random.Random) -> Iterator[int]:
    """0 to `count` - 1 in a scattered order that takes no memory: multiples of a coprime number."""
    step = draw.randrange(count // 3, count)
    while math.gcd(step, count) != 1:
        step = step % count + 1
    offset = draw.randrange(count)
    return ((offset + step * index) % count for index in range(count))


COMMON_WORDS = CommonWords()
