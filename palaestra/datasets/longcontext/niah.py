"""Needles in a haystack: RULER's `niah` tasks (Hsieh et al., arXiv 2404.06654).

The published tasks also have haystacks of essays, which cannot be generated; here these are noise.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from palaestra.core.task import Task
from palaestra.datasets.longcontext.haystack import ANSWER_TOKENS, recall, scatter, too_short
from palaestra.datasets.longcontext.words import ADJECTIVES, NOISE, NOUNS
from palaestra.datasets.shelf import Shelf

Kind = Literal["word", "number", "uuid"]


@dataclass(frozen=True)
class Niah:
    """Sentences that give the values of keys, between others; the values of some keys are asked for."""

    name: str
    haystack: Literal["noise", "needles"] = "noise"
    """needles: made of sentences of the same form about other keys."""
    key: Kind = "word"
    value: Kind = "number"
    keys: int = 1
    """Keys that have needles, those that are asked for included."""
    values: int = 1
    """Of each key."""
    queries: int = 1
    """Keys that are asked for."""

    def tasks(self, count: int, tokens: int, shelf: Shelf, seed: int = 0) -> list[Task]:
        return [self._task(f"{self.name}-{tokens}-{seed}-{index}", tokens, shelf) for index in range(count)]

    def utility(self, task: Task, answer: str) -> float:
        return recall(task.metadata["values"], answer)

    def _task(self, name: str, tokens: int, shelf: Shelf) -> Task:
        draw = random.Random(name)
        hidden = self._hide(draw)
        needles = [self._sentence(key, value) for key, values in hidden.items() for value in values]
        draw.shuffle(needles)
        asked = list(hidden)[: self.queries]
        wanted = [value for key in asked for value in hidden[key]]
        prompt = self._question(asked)
        room = tokens - ANSWER_TOKENS - shelf.count(prompt) - sum(map(shelf.count, needles))
        if room < 0:
            raise too_short(self.name, tokens)
        lines = shelf.fitting(self._lines(name, hidden), room)
        context = scatter(itertools.islice(self._lines(name, hidden), lines), needles, lines, draw)
        return Task(
            id=name,
            family=self.name,
            prompt=prompt,
            context=shelf.keep(context),
            reference=", ".join(wanted),
            metadata={"values": wanted, "tokens": tokens},
        )

    def _hide(self, draw: random.Random) -> dict[str, list[str]]:
        hidden: dict[str, list[str]] = {}
        while len(hidden) < max(self.keys, self.queries):
            hidden[_draw(self.key, draw)] = [_draw(self.value, draw) for _ in range(self.values)]
        return hidden

    def _lines(self, name: str, hidden: dict[str, list[str]]) -> Iterator[str]:
        """The haystack, without end."""
        if self.haystack == "noise":
            yield from itertools.repeat(NOISE)
        draw = random.Random(f"haystack {name}")
        while True:
            key, value = _draw(self.key, draw), _draw(self.value, draw)
            if key not in hidden:
                yield self._sentence(key, value)

    def _sentence(self, key: str, value: str) -> str:
        return f"One of the special magic {self.value}s for {key} is: {value}.\n"

    def _question(self, keys: list[str]) -> str:
        listed = keys[0] if len(keys) == 1 else f"{', '.join(keys[:-1])}, and {keys[-1]}"
        if self.values * self.queries == 1:
            return f"What is the special magic {self.value} for {listed} mentioned in the text?"
        return f"What are all the special magic {self.value}s for {listed} mentioned in the text?"


def _draw(kind: Kind, draw: random.Random) -> str:
    match kind:
        case "word":
            return f"{draw.choice(ADJECTIVES)}-{draw.choice(NOUNS)}"
        case "number":
            return str(draw.randrange(1_000_000, 10_000_000))
        case "uuid":
            return str(UUID(int=draw.getrandbits(128), version=4))


SINGLE = Niah("niah-single")
SINGLE_UUID = Niah("niah-single-uuid", value="uuid")
MULTIKEY = Niah("niah-multikey", keys=4)
MULTIKEY_NEEDLES = Niah("niah-multikey-needles", haystack="needles")
MULTIKEY_UUID = Niah("niah-multikey-uuid", haystack="needles", key="uuid", value="uuid")
MULTIVALUE = Niah("niah-multivalue", values=4)
MULTIQUERY = Niah("niah-multiquery", keys=4, queries=4)
