"""The most frequent words of a coded text: RULER's `fwe` task (Hsieh et al., arXiv 2404.06654)."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator

from palaestra.core.task import Task
from palaestra.datasets.longcontext.haystack import ANSWER_TOKENS, recall, too_short
from palaestra.datasets.longcontext.words import coined
from palaestra.datasets.shelf import Shelf

ASKED = 3
VOCABULARY = 2000
EXPONENT = 2.0
"""Of the zeta distribution: the word of rank k has a share in proportion to k to the power of minus this."""
DOTS = "...."
"""Stands for the word of the first rank."""


class FrequentWords:
    """Words of no language, drawn from a zeta distribution; which three are the most frequent?"""

    name = "frequent-words"

    def tasks(self, count: int, tokens: int, shelf: Shelf, seed: int = 0) -> list[Task]:
        return [self._task(f"{self.name}-{tokens}-{seed}-{index}", tokens, shelf) for index in range(count)]

    def utility(self, task: Task, answer: str) -> float:
        return recall(task.metadata["values"], answer)

    def _task(self, name: str, tokens: int, shelf: Shelf) -> Task:
        prompt = (
            f"The text above is coded. Ignore the dots '{DOTS}'. What are the three most frequently appeared "
            "words in it?"
        )
        room = tokens - ANSWER_TOKENS - shelf.count(prompt)
        for attempt in itertools.count():
            key = f"{name} {attempt}"
            words = shelf.fitting(_text(key), room)
            if words < 100:
                raise too_short(self.name, tokens)
            times = Counter(word.strip() for word in itertools.islice(_text(key), words))
            del times[DOTS]
            ranked = times.most_common(ASKED + 1)
            if ranked[ASKED - 1][1] > ranked[ASKED][1]:
                break
        frequent = [word for word, _ in ranked[:ASKED]]
        return Task(
            id=name,
            family=self.name,
            prompt=prompt,
            context=shelf.keep(itertools.islice(_text(key), words)),
            reference=", ".join(frequent),
            metadata={"values": frequent, "tokens": tokens},
        )


def _text(key: str) -> Iterator[str]:
    """Words with a space after each, without end."""
    draw = random.Random(key)
    words = [DOTS, *(coined(number) for number in draw.sample(range(85**3), VOCABULARY - 1))]
    shares = list(itertools.accumulate(rank**-EXPONENT for rank in range(1, VOCABULARY + 1)))
    while True:
        yield from (f"{word} " for word in draw.choices(words, cum_weights=shares, k=1000))


FREQUENT_WORDS = FrequentWords()
