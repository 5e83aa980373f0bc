"""Results of matches between systems, in columns, and what they say of each system."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import evalica
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

WINNERS = (evalica.Winner.Y, evalica.Winner.Draw, evalica.Winner.X)
"""By twice the result: 0, ½ and 1."""
RESAMPLES = 2000
BLOCKS = 1000
"""Prompts that are drawn one by one in a bootstrap; of more, so many blocks are made and drawn."""


@dataclass(frozen=True)
class Comparisons:
    systems: int
    first: Integers
    """Number of a system, as is `second`; one entry per match."""
    second: Integers
    won: Floats
    """1 where the first won, ½ for a tie, 0 where the second won."""
    prompt: Integers
    """Number of the prompt: matches on one prompt are not independent."""

    def ratings(self) -> Floats:
        """Bradley-Terry strengths in Elo points: 1000 on average, 400 points are odds of ten to one.

        One tie between any two systems is added: one that never lost would have no finite strength otherwise.
        """
        return self._fit(self._cells(), np.ones(len(self.won)), tie=1.0)

    def rating_intervals(self, resamples: int = 200, seed: int = 0) -> Floats:
        """95 % intervals of the ratings, [2, systems], by Bayesian bootstrap over prompts (Rubin 1981).

        The weight of each prompt is exponential; the added ties are one more prompt, so that a system that
        won everything is not taken for infinitely well known.
        """
        prompts = int(self.prompt.max(initial=0)) + 1
        draw, cells, fits = np.random.default_rng(seed), self._cells(), []
        for _ in range(resamples):
            weights = draw.standard_exponential(prompts + 1)
            fits.append(self._fit(cells, weights[self.prompt], tie=weights[prompts]))
        return np.percentile(fits, [2.5, 97.5], axis=0)

    def results_of(self, system: int) -> tuple[Floats, Integers]:
        """What a system got in each of its matches, from 0 to 1, and on which prompt."""
        as_first, as_second = self.first == system, self.second == system
        won = np.concatenate([self.won[as_first], 1 - self.won[as_second]])
        return won, np.concatenate([self.prompt[as_first], self.prompt[as_second]])

    def _fit(self, cells: Integers, weights: Floats, tie: float) -> Floats:
        """The strengths by evalica, from the sums of the weights over equal results: as many rows as there
        are pairs of systems, however many matches."""
        sums = np.bincount(cells, weights, minlength=3 * self.systems**2)
        occupied = np.flatnonzero(sums)
        pairs, results = np.divmod(occupied, 3)
        first, second = np.divmod(pairs, self.systems)
        ties = list(combinations(range(self.systems), 2))
        if not ties:
            return np.full(self.systems, 1000.0)
        strengths = evalica.bradley_terry(
            [*first.tolist(), *(low for low, _ in ties)],
            [*second.tolist(), *(high for _, high in ties)],
            [*(WINNERS[result] for result in results), *[evalica.Winner.Draw] * len(ties)],
            weights=[*sums[occupied].tolist(), *[tie] * len(ties)],
            limit=10_000,
        ).scores
        points: Floats = 1000 + 400 * np.log10(strengths[list(range(self.systems))].to_numpy())
        return points

    def _cells(self) -> Integers:
        """The number of each match's result: of the pair, the lower system first, and who of them won."""
        swapped = self.first > self.second
        low, high = np.minimum(self.first, self.second), np.maximum(self.first, self.second)
        results = (2 * np.where(swapped, 1 - self.won, self.won)).astype(np.int64)
        cells: Integers = 3 * (low * self.systems + high) + results
        return cells


def rate_interval(won: Floats, counts: Floats, seed: int) -> tuple[float, float]:
    """The 95 % interval of Σ won / Σ counts, both by prompt: percentiles over resampled prompts.

    Matches on one prompt are not independent, so prompts are drawn, not matches. One prompt won and one
    lost are added, as Agresti and Coull do with trials: five wins of five are no certainty.
    """
    typical = counts.mean()
    counts, won = np.append(counts, [typical, typical]), np.append(won, [typical, 0])
    draw = np.random.default_rng(seed)
    if len(counts) > BLOCKS:
        block = draw.permutation(len(counts)) % BLOCKS
        counts, won = np.bincount(block, counts).astype(float), np.bincount(block, won).astype(float)
    draws = draw.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), RESAMPLES)
    low, high = np.percentile(draws @ won / (draws @ counts), [2.5, 97.5])
    return float(low), float(high)
