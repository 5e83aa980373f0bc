"""What can be made of given numbers, each used exactly once."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cache
from itertools import combinations
from typing import NamedTuple

from palaestra.datasets.arithmetic.formula import OPERATIONS

_BINDING = {"": 2, "*": 1, "/": 1, "+": 0, "-": 0}


class Term(NamedTuple):
    text: str
    value: Fraction
    sign: str = ""
    """The operation that is done last; empty for a number."""


def join(first: Term, sign: str, second: Term) -> Term:
    """One more operation, with the brackets that it needs and no others.

    Raises:
        ZeroDivisionError: the operation divides by 0.
    """
    binding = _BINDING[sign]
    left = f"({first.text})" if _BINDING[first.sign] < binding else first.text
    bracketed = _BINDING[second.sign] < binding or (_BINDING[second.sign] == binding and sign in "-/")
    right = f"({second.text})" if bracketed else second.text
    return Term(f"{left}{sign}{right}", OPERATIONS[sign](first.value, second.value), sign)


def solve(numbers: Sequence[int], target: int) -> str | None:
    """A formula for `target`, always the same one for the same numbers; None when there is none."""
    goal = Fraction(target)
    for part, rest in _splits(tuple(sorted(numbers))):
        others = _terms(rest)
        for term in _terms(part).values():
            for sign, value, swapped in _partners(term.value, goal):
                if value in others:
                    pair = (others[value], term) if swapped else (term, others[value])
                    return join(pair[0], sign, pair[1]).text
    return None


def random_term(numbers: Sequence[int], draw: random.Random) -> Term:
    """Some formula; nothing in it is divided by 0."""
    terms = [Term(str(number), Fraction(number)) for number in draw.sample(numbers, k=len(numbers))]
    while len(terms) > 1:
        place = draw.randrange(len(terms) - 1)
        first, second = terms[place : place + 2]
        terms[place : place + 2] = [join(first, draw.choice("+-*/" if second.value else "+-*"), second)]
    return terms[0]


@cache
def _terms(numbers: tuple[int, ...]) -> Mapping[Fraction, Term]:
    """Every value that the sorted numbers make, with one term for it."""
    if len(numbers) == 1:
        return {Fraction(numbers[0]): Term(str(numbers[0]), Fraction(numbers[0]))}
    found: dict[Fraction, Term] = {}
    for part, rest in _splits(numbers):
        for first in _terms(part).values():
            for second in _terms(rest).values():
                for term in _joined(first, second):
                    found.setdefault(term.value, term)
    return found


def _joined(first: Term, second: Term) -> Iterator[Term]:
    for sign in "+-*/":
        if sign != "/" or second.value:
            yield join(first, sign, second)
        if sign == "-" or (sign == "/" and first.value):
            yield join(second, sign, first)


def _partners(value: Fraction, goal: Fraction) -> Iterator[tuple[str, Fraction, bool]]:
    """The operations, and the second values for them, that make `goal` of `value`; True: it comes second."""
    yield "+", goal - value, False
    yield "-", value - goal, False
    yield "-", value + goal, True
    if value:
        yield "*", goal / value, False
        yield "/", goal * value, True
        if goal:
            yield "/", value / goal, False


def _splits(numbers: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The ways to part sorted numbers in two; the first part is never the larger."""
    for size in range(1, len(numbers) // 2 + 1):
        for places in combinations(range(len(numbers)), size):
            part = tuple(numbers[place] for place in places)
            yield part, tuple(number for place, number in enumerate(numbers) if place not in places)
