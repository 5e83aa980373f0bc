"""Numbers and texts as a terminal shows them."""

from __future__ import annotations

import doctest

from palaestra.cli import text
from palaestra.core.usage import Usage


def test_the_examples_of_the_docstrings_hold() -> None:
    results = doctest.testmod(text)
    assert (results.failed, results.attempted) == (0, 3)


def test_one_line_is_one_line_of_the_length_asked_for() -> None:
    assert text.one_line("a\n b\tc\x1b[2J") == "a b c\ufffd[2J"
    assert text.one_line("abcdef", 4) == "abc…"
    assert text.one_line("abcd", 4) == "abcd"


def test_consumption_tells_free_from_unknown() -> None:
    assert (
        text.consumption("judge", Usage(calls=1, tokens_in=900, tokens_out=99))
        == "judge 999 tokens, cost $0.00"
    )
    assert text.consumption("sub", Usage(calls=1, cost=None)) == "sub 0 tokens, cost unknown"
