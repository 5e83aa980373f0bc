"""Calls of string functions, one around the other."""

from __future__ import annotations

import random
from collections.abc import Sequence
from inspect import getdoc, signature
from typing import NamedTuple

from palaestra.datasets.compositions.functions import FUNCTIONS, LETTERS, WORDS

LONGEST = 40
"""Characters that any result on the way may have."""
WORD = 2
"""Letters of a word at most."""


class Call(NamedTuple):
    function: int
    """Its place in FUNCTIONS."""
    argument: int | str | None

    def write(self, text: str) -> str:
        written = "" if self.argument is None else f",{self.argument}"
        return f"func_{self.function}({text}{written})"

    def run(self, text: str) -> str:
        arguments = () if self.argument is None else (self.argument,)
        return FUNCTIONS[self.function].apply(text, *arguments)


class Expression(NamedTuple):
    """The first call is the innermost one. The published trees have binary nodes and literals too; without
    them the level is the number of calls."""

    calls: tuple[Call, ...]
    input: str

    def write(self) -> str:
        text = "x"
        for call in self.calls:
            text = call.write(text)
        return text

    def results(self) -> list[str]:
        """What each call gives, the innermost first."""
        results = [self.input]
        for call in self.calls:
            results.append(call.run(results[-1]))
        return results[1:]

    def definitions(self) -> str:
        """What the functions mean, a line for each."""
        return "\n".join(_definition(place) for place in sorted({call.function for call in self.calls}))


def random_expression(functions: Sequence[int], level: int, draw: random.Random) -> Expression:
    """`level` calls on two random words; no result is empty or too long to write."""
    while True:
        words = ("".join(draw.choices(LETTERS, k=draw.randint(1, WORD))) for _ in range(2))
        calls = tuple(_random_call(draw.choice(functions), draw) for _ in range(level))
        expression = Expression(calls, WORDS.join(words))
        if all(0 < len(result) <= LONGEST for result in expression.results()):
            return expression


def _random_call(function: int, draw: random.Random) -> Call:
    arguments = FUNCTIONS[function].arguments
    return Call(function, draw.choice(arguments) if arguments else None)


def _definition(place: int) -> str:
    function = FUNCTIONS[place].apply
    return f"func_{place}({', '.join(signature(function).parameters)}): {getdoc(function)}"
