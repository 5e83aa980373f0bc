"""What the matches of a tournament say of each contestant, in whatever order they came in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import sqrt
from statistics import fmean, stdev
from typing import Any

from palaestra.arena.ratings.comparison import Comparison
from palaestra.arena.ratings.rate import rate
from palaestra.arena.topologies.base import Outcome, Pairing
from palaestra.core.ranking import Ranking, Standing, rank_by


class Scorebook:
    """Pairings that were handed out, and the points and wins that came back.

    Sums are exactly rounded (`math.fsum` inside), so that the order of arrival leaves no trace in them.
    """

    def __init__(self, contestants: Sequence[str]) -> None:
        if not contestants or len(set(contestants)) < len(contestants):
            raise ValueError(f"a tournament needs distinct contestants, at least one: {list(contestants)}")
        self.contestants = tuple(contestants)
        self.points: dict[str, list[float]] = {contestant: [] for contestant in contestants}
        """What the judge gave, one entry per decided match."""
        self.wins: dict[str, list[float]] = {contestant: [] for contestant in contestants}
        """1 for a win, ½ for a draw, 0 for a loss, one entry per decided match."""
        self.comparisons: list[Comparison] = []
        """The decided matches, contestants by their seats."""
        self.undecided = 0
        self._seats = {contestant: seat for seat, contestant in enumerate(contestants)}
        self._open: set[Pairing] = set()

    def hand_out(self, pairings: Iterable[Pairing]) -> list[Pairing]:
        pairings = list(pairings)
        self._open.update(pairings)
        return pairings

    def record(self, pairing: Pairing, outcome: Outcome | None) -> None:
        if pairing not in self._open:
            raise ValueError(f"{pairing} was not handed out, or has its outcome already")
        self._open.remove(pairing)
        if outcome is None:
            self.undecided += 1
            return
        self.comparisons.append(self.comparison(pairing, outcome))
        win = 0.5 if outcome.first == outcome.second else float(outcome.first > outcome.second)
        for contestant, points, won in (
            (pairing.first, outcome.first, win),
            (pairing.second, outcome.second, 1 - win),
        ):
            self.points[contestant].append(points)
            self.wins[contestant].append(won)

    def comparison(self, pairing: Pairing, outcome: Outcome) -> Comparison:
        return Comparison(self._seats[pairing.first], self._seats[pairing.second], *outcome)

    @property
    def is_level(self) -> bool:
        """Whether every match was a draw and all mean points are equal: nothing is decided then."""
        draws_only = all(won == 0.5 for wins in self.wins.values() for won in wins)
        return draws_only and len(set(means(self.points).values())) == 1

    def ranking(self, samples: Mapping[str, Sequence[float]], order: Mapping[str, Any]) -> Ranking:
        """Rank by `order`: greater is better, equals share a rank. The score is the mean of `samples`."""
        levels = {key: float(level) for level, key in enumerate(sorted(set(order.values())))}
        ranks = rank_by({contestant: levels[key] for contestant, key in order.items()})
        errors = {contestant: standard_error(values) for contestant, values in samples.items()}
        return self._ranking(ranks, means(samples), errors)

    def posterior_ranking(self) -> Ranking:
        """Rank by the posterior mean of worth, relative to the mean of the group.

        Means that differ by no more than rounding errors are equal.
        """
        posterior = rate(self.comparisons, len(self.contestants))
        scores = {
            name: round(mean, 9) + 0.0
            for name, mean in zip(self.contestants, posterior.mean_N.tolist(), strict=True)
        }
        errors = dict(zip(self.contestants, posterior.standard_deviation_N.tolist(), strict=True))
        return self._ranking(rank_by(scores), scores, errors if self.comparisons else {})

    def _ranking(
        self, ranks: Mapping[str, int], scores: Mapping[str, float], errors: Mapping[str, float | None]
    ) -> Ranking:
        return Ranking(
            standings=tuple(
                Standing(
                    contestant=contestant,
                    rank=ranks[contestant],
                    score=scores[contestant],
                    standard_error=errors.get(contestant),
                    comparisons=len(self.points[contestant]),
                )
                for contestant in sorted(self.contestants, key=ranks.__getitem__)
            ),
            undecided=self.undecided,
        )


def means(samples: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The mean of each contestant's samples.

    One without any stands at the mean of the others: a missing verdict is neither a win nor a loss.
    """
    known = {contestant: fmean(values) for contestant, values in samples.items() if values}
    middle = fmean(known.values()) if known else 0.0
    return {contestant: known.get(contestant, middle) for contestant in samples}


def standard_error(values: Sequence[float]) -> float | None:
    """Of the mean, from the spread between matches; None for fewer than two."""
    return stdev(values) / sqrt(len(values)) if len(values) > 1 else None
