"""Chains of assignments: RULER's `vt` task (Hsieh et al., arXiv 2404.06654)."""

from __future__ import annotations

import itertools
import random
import string
from dataclasses import dataclass

from palaestra.core.task import Task
from palaestra.datasets.longcontext.haystack import ANSWER_TOKENS, recall, scatter, too_short
from palaestra.datasets.longcontext.words import NOISE
from palaestra.datasets.shelf import Shelf


@dataclass(frozen=True)
class VariableTracking:
    """A value is given to a variable, that one to the next, and so on; which variables have the value?"""

    name: str
    chains: int = 1
    hops: int = 4

    def tasks(self, count: int, tokens: int, shelf: Shelf, seed: int = 0) -> list[Task]:
        return [self._task(f"{self.name}-{tokens}-{seed}-{index}", tokens, shelf) for index in range(count)]

    def utility(self, task: Task, answer: str) -> float:
        return recall(task.metadata["values"], answer)

    def _task(self, name: str, tokens: int, shelf: Shelf) -> Task:
        draw = random.Random(name)
        names = _distinct_names(self.chains * (self.hops + 1), draw)
        chains = [names[start :: self.chains] for start in range(self.chains)]
        values = draw.sample(range(10_000, 100_000), self.chains)
        needles = _interleaved([_assignments(*pair) for pair in zip(chains, values, strict=True)], draw)
        prompt = f"Find all variables that are assigned the value {values[0]} in the text, directly or not."
        room = tokens - ANSWER_TOKENS - shelf.count(prompt) - sum(map(shelf.count, needles))
        if room < 0:
            raise too_short(self.name, tokens)
        lines = int(room / shelf.count(NOISE))
        return Task(
            id=name,
            family=self.name,
            prompt=prompt,
            context=shelf.keep(scatter(itertools.repeat(NOISE, lines), needles, lines, draw)),
            reference=", ".join(chains[0]),
            metadata={"values": list(chains[0]), "tokens": tokens},
        )


def _distinct_names(count: int, draw: random.Random) -> list[str]:
    names: set[str] = set()
    while len(names) < count:
        names.add("".join(draw.choices(string.ascii_uppercase, k=5)))
    return draw.sample(sorted(names), count)


def _assignments(chain: list[str], value: int) -> list[str]:
    sources = [str(value), *(f"VAR {name}" for name in chain)]
    return [f"VAR {name} = {source}\n" for name, source in zip(chain, sources, strict=False)]


def _interleaved(chains: list[list[str]], draw: random.Random) -> list[str]:
    """All assignments in a random order in which each chain keeps its own."""
    order = [index for index, chain in enumerate(chains) for _ in chain]
    draw.shuffle(order)
    waiting = [iter(chain) for chain in chains]
    return [next(waiting[index]) for index in order]


VARIABLE_TRACKING = VariableTracking("variable-tracking")
