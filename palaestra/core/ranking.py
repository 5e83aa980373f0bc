"""The outcome of a tournament."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from palaestra.core.record import Record


class Standing(Record):
    contestant: str
    rank: int = Field(ge=0)
    """0 is best; contestants that share a rank are tied, and the next rank is left out."""
    score: float
    """What the topology ranks by, in its own unit."""
    standard_error: float | None = None
    """Of `score`; None where the topology cannot tell."""
    comparisons: int = 0
    """Matches that were decided by a judge."""


class Ranking(Record):
    standings: tuple[Standing, ...]
    """Best first; ties in seating order."""
    undecided: int = 0
    """Matches for which no verdict could be had; a topology that needs a winner decided them by seed."""

    @property
    def ranks(self) -> Mapping[str, int]:
        return {standing.contestant: standing.rank for standing in self.standings}


def rank_by(scores: Mapping[str, float]) -> dict[str, int]:
    """Competition ranks, highest score first; equal scores share the better rank.

    >>> rank_by({"a": 1.0, "b": 3.0, "c": 1.0})
    {'a': 1, 'b': 0, 'c': 1}
    """
    values = sorted(scores.values(), reverse=True)
    return {contestant: values.index(score) for contestant, score in scores.items()}
