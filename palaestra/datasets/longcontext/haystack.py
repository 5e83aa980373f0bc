"""What the families of RULER have in common (Hsieh et al., arXiv 2404.06654)."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence

from palaestra.core.errors import ConfigError

ANSWER_TOKENS = 128
"""Tokens of a length that are left for the answer."""
ANSWER_CHARACTERS = 1024
"""Of an answer that are read. Containment alone would reward an answer that lists everything."""


def recall(references: Sequence[str], answer: str) -> float:
    """RULER's `string_match_all`: the share of the references that the answer contains, in any case.

    >>> recall(["111", "Two"], "they are 111 and TWO"), recall(["111", "222"], "111")
    (1.0, 0.5)
    """
    said = answer[:ANSWER_CHARACTERS].lower()
    return sum(reference.lower() in said for reference in references) / len(references)


def scatter(lines: Iterable[str], needles: Sequence[str], count: int, draw: random.Random) -> Iterator[str]:
    """The `count` lines, with the needles before randomly drawn ones, in their order."""
    places = sorted(draw.randrange(count + 1) for _ in needles)
    waiting = list(zip(places, needles, strict=True))[::-1]
    for index, line in enumerate(lines):
        while waiting and waiting[-1][0] == index:
            yield waiting.pop()[1]
        yield line
    yield from (needle for _, needle in reversed(waiting))


def too_short(what: str, tokens: int) -> ConfigError:
    return ConfigError(f"{tokens} tokens are too few for {what}; ask for a greater length")
