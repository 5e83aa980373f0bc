"""What is known of the contestants' worth after a number of comparisons."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import erf, sqrt

import numpy as np

from palaestra.arena.ratings.comparison import Floats

DRAWS = 4000
"""Joint draws for the probability of being the best: its error is below 0.01."""

_erf = np.frompyfunc(erf, 1, 1)


@dataclass(frozen=True)
class Posterior:
    """A joint normal distribution of worth, relative to the mean of the group.

    Shape suffix: `_N` contestants by seat. The unit is the judge's points, or logits where the judge names
    winners only.
    """

    mean_N: Floats
    covariance_NN: Floats
    noise: float
    """Variance of the difference that one more call would show, beside that of the worths themselves."""

    @classmethod
    def mixture(
        cls, evidence_G: Floats, mean_GP: Floats, covariance_GPP: Floats, noise_G: Floats, contestants: int
    ) -> Posterior:
        """The normal distribution with the moments of a mixture, of the first `contestants` parameters.

        What all contestants have in common is taken out: no ranking depends on it.
        """
        weight_G = np.exp(evidence_G - evidence_G.max())
        weight_G /= weight_G.sum()
        mean_GN = mean_GP[:, :contestants]
        mean_GN = mean_GN - mean_GN.mean(axis=1, keepdims=True)
        mean_N = weight_G @ mean_GN
        apart_GN = mean_GN - mean_N
        covariance_NN = np.einsum("g,gpq->pq", weight_G, covariance_GPP[:, :contestants, :contestants])
        covariance_NN -= covariance_NN.mean(axis=0)
        covariance_NN -= covariance_NN.mean(axis=1, keepdims=True)
        covariance_NN += (weight_G * apart_GN.T) @ apart_GN
        return cls(mean_N, covariance_NN, float(weight_G @ noise_G))

    @property
    def standard_deviation_N(self) -> Floats:
        return np.sqrt(np.maximum(self.covariance_NN.diagonal(), 0))

    @property
    def difference_deviation_NN(self) -> Floats:
        """Standard deviation of each difference of two worths."""
        variance_N = self.covariance_NN.diagonal()
        return np.sqrt(np.maximum(variance_N[:, None] + variance_N - 2 * self.covariance_NN, 0))

    @cached_property
    def beats_NN(self) -> Floats:
        """The probability that the row's contestant is better than the column's; ½ against itself."""
        gap_NN = self.mean_N[:, None] - self.mean_N
        deviation_NN = np.maximum(self.difference_deviation_NN, 1e-12)
        error_NN = np.asarray(_erf(gap_NN / deviation_NN / sqrt(2)), dtype=np.float64)
        return 0.5 + 0.5 * error_NN

    @cached_property
    def best_N(self) -> Floats:
        """The probability of being the best of all, by simulation with a fixed seed."""
        values, vectors = np.linalg.eigh(self.covariance_NN)
        normal = np.random.default_rng(0).standard_normal((DRAWS, len(values)))
        drawn = self.mean_N + normal * np.sqrt(np.maximum(values, 0)) @ vectors.T
        return np.bincount(drawn.argmax(axis=1), minlength=len(values)) / DRAWS

    @property
    def misordered(self) -> float:
        """How many of the N(N-1)/2 pairs are expected to stand in the wrong order when sorted by mean."""
        beats_NN = self.beats_NN
        return float(np.triu(np.minimum(beats_NN, beats_NN.T), k=1).sum())

    def after(self, first: int, second: int) -> Posterior:
        """What will be known once this pair was asked again. The means stay: the answer is not in yet."""
        shared_N = self.covariance_NN[:, first] - self.covariance_NN[:, second]
        total = shared_N[first] - shared_N[second] + self.noise
        return Posterior(self.mean_N, self.covariance_NN - np.outer(shared_N, shared_N / total), self.noise)
