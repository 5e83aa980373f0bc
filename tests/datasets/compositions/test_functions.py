"""The string functions by worked values, and the split between them by what they do."""

import random
from itertools import product

import pytest

from palaestra.datasets.compositions.expression import Call, random_expression
from palaestra.datasets.compositions.functions import FUNCTIONS, TRAINED

WORKED = [
    (0, None, "abcdefgh", "adgbehcf"),
    (0, None, "abcdefghi", "afbgchdie"),
    (0, None, "abc", "acb"),
    (1, 3, "ab", "ababab"),
    (2, None, "bead", "bd"),
    (3, None, "ba-C", "-Cab"),
    (4, None, "ab-cd", "cd-ab"),
    (5, "xy", "ab", "xyab"),
    (6, "xy", "ab", "abxy"),
    (7, "xy", "abc", "axbyc"),
    (8, 2, "abcde", "cdeab"),
    (9, None, "abc", "abccba"),
    (10, None, "ABcD", "aBcD"),
    (11, 3, "xyZ-1", "abC-1"),
    (12, None, "aeiou-b", "12345-b"),
    (13, "|", "abc", "a|b|c"),
    (14, None, "ab", "aabb"),
    (15, None, "ab", "«a»«b»"),
    (16, None, "aabccc", "abc"),
    (17, None, "abc", "cba"),
    (18, 3, "ab", "ababab"),
    (19, 2, "abcde", "cdeab"),
    (20, "xy", "abc", "axbyc"),
    (21, None, "a-1b", "ab"),
    (22, None, "abc", "ab"),
    (22, None, "ab", "ab"),
    (23, 3, "ab", "ab123"),
    (24, None, "ab", "abba"),
    (24, None, "aba", "aba"),
]


@pytest.mark.parametrize(("function", "argument", "text", "result"), WORKED)
def test_worked_values(function: int, argument: int | str | None, text: str, result: str) -> None:
    assert Call(function, argument).run(text) == result


def test_every_function_has_a_worked_value() -> None:
    assert {function for function, *_ in WORKED} == set(range(25))
    assert len(FUNCTIONS) == 25


def probes() -> list[str]:
    """What a function meets as its text: inputs, and results of other functions."""
    draw = random.Random(0)
    expressions = [random_expression(range(25), level, draw) for level in (1, 2, 3) for _ in range(60)]
    return [text for expression in expressions for text in (expression.input, *expression.results()[:-1])]


def agreement(first: int, second: int, texts: list[str]) -> float:
    """The largest share of texts that any two calls of the functions treat alike."""
    arguments = [FUNCTIONS[each].arguments[:9] or (None,) for each in (first, second)]
    return max(
        sum(Call(first, one).run(text) == Call(second, other).run(text) for text in texts) / len(texts)
        for one, other in product(*arguments)
    )


def test_no_held_out_function_does_what_a_trained_one_does() -> None:
    texts = probes()
    shares = {
        (trained, held_out): agreement(trained, held_out, texts)
        for trained, held_out in product(sorted(TRAINED), sorted(set(range(25)) - TRAINED))
    }
    assert max(shares.values()) < 0.5, max(shares, key=shares.__getitem__)


@pytest.mark.parametrize("twins", [(1, 18), (8, 19), (7, 20), (9, 24)])
def test_functions_that_do_the_same_are_on_one_side(twins: tuple[int, int]) -> None:
    assert agreement(*twins, probes()) > 0.8
    assert (twins[0] in TRAINED) == (twins[1] in TRAINED)
