"""Formulas: what is read, exactly, and what is no formula."""

import random
from fractions import Fraction
from itertools import combinations_with_replacement

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.datasets.arithmetic.formula import Formula, read_formula, remark
from palaestra.datasets.arithmetic.search import random_term, solve
from palaestra.datasets.families import family


def test_thirds_are_exact() -> None:
    assert read_formula("8/(3-8/3)") == Formula(Fraction(24), (8, 3, 8, 3))
    assert 8 / (3 - 8 / 3) != 24


def test_the_last_line_up_to_the_equals_sign_is_read() -> None:
    assert read_formula("First 2*3 = 6.\n ( 2 + 4 ) × 4 = 24 \n") == Formula(Fraction(24), (2, 4, 4))


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "no formula",
        "-3+27",
        "(-3)+27",
        "2**3*3",
        "49//2",
        "24.0",
        "1_2*2",
        "3(8)",
        "()",
        "(1,2)",
        "1/(2-2)",
        "024",
        "1 2+12",
        "__import__('os')",
        "(" * 99 + "1" + ")" * 101,
        "1+" * 5000 + "1",
    ],
)
def test_what_is_no_formula_is_none(answer: str) -> None:
    assert read_formula(answer) is None


@given(st.text(alphabet="0123456789+-*/() =\n", max_size=60))
def test_any_text_is_read_without_an_error(answer: str) -> None:
    found = read_formula(answer)
    assert found is None or found.numbers


@given(st.lists(st.integers(1, 20), min_size=1, max_size=5), st.integers(0, 99))
def test_a_written_term_reads_back_as_its_value(numbers: list[int], seed: int) -> None:
    term = random_term(numbers, random.Random(seed))
    found = read_formula(term.text)
    assert found is not None
    assert found.value == term.value
    assert sorted(found.numbers) == sorted(numbers)


@pytest.mark.parametrize(("largest", "hands", "solvable"), [(13, 1820, 1362), (10, 715, 566)])
def test_as_many_hands_make_24_as_are_known_to(largest: int, hands: int, solvable: int) -> None:
    found = [solve(hand, 24) for hand in combinations_with_replacement(range(1, largest + 1), 4)]
    assert len(found) == hands
    formulas = [read_formula(text) for text in found if text]
    assert len(formulas) == solvable
    assert all(formula is not None and formula.value == 24 for formula in formulas)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("3*8+1", "That is 25 of the numbers 3,8,1; 24 is wanted"),
        ("1/2 = 24", "That is 1/2 of the numbers 1,2"),
        ("no idea", "no formula"),
    ],
)
def test_a_remark_tells_what_came_out(answer: str, said: str) -> None:
    assert said in remark(answer, 24)


@pytest.mark.parametrize("name", ["countdown", "general-points", "compositions"])
def test_a_family_remarks_on_what_is_wrong_and_on_nothing_else(name: str) -> None:
    found = family(name)
    for task, answer in found.examples(60):
        for each in (answer, "", "24", f"{answer}1"):
            assert bool(found.remark(task, each)) == (found.utility(task, each) == 0)
