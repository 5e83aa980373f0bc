"""Long texts are cut in the middle, and what is missing is told truly however often they are cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from palaestra.sandbox.worker.excerpt import MARK, shorten


@given(st.text(alphabet="ab\n", max_size=2000), st.integers(100, 800), st.integers(100, 800))
def test_a_text_that_is_cut_twice_tells_of_all_that_is_missing(text: str, first: int, second: int) -> None:
    for shown in (shorten(text, first), shorten(shorten(text, first) + "\nvariables: x", second)):
        marks = list(MARK.finditer(shown))
        told = sum(int(mark[1]) - len(mark[0]) for mark in marks)
        whole = len(text) + len("\nvariables: x") * shown.endswith("x")
        assert len(shown) + told == whole
        assert len(marks) <= 2


def test_a_short_text_is_itself_and_a_long_one_keeps_its_ends() -> None:
    assert shorten("a" * 100, 100) == "a" * 100
    shown = shorten("head" + "." * 1_000_000 + "tail", 100)
    assert len(shown) <= 100
    assert shown.startswith("head")
    assert shown.endswith("tail")
