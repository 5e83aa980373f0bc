"""Ranks: 0 is best, ties share the better rank."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from palaestra.core.ranking import rank_by


@given(st.dictionaries(st.text(), st.integers(-3, 3)))
def test_a_rank_is_the_number_of_those_that_score_higher(scores: dict[str, float]) -> None:
    ranks = rank_by(scores)
    assert ranks == {name: sum(other > score for other in scores.values()) for name, score in scores.items()}
