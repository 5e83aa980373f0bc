"""Halving: the best of N, by spending ever more on ever fewer."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

import numpy as np

from palaestra.arena.ratings.rate import rate
from palaestra.arena.topologies.base import BudgetedConfig, Orders, Outcome, Pairing
from palaestra.arena.topologies.design import most_telling, regular_graph
from palaestra.arena.topologies.scorebook import Scorebook
from palaestra.core.ranking import Ranking

HALVINGS = 3
OPTIMISM = 0.7
"""Standard deviations above the mean by which contestants stay, so that the little known are not lost."""


class HalvingConfig(BudgetedConfig):
    name: Literal["halving"] = "halving"


class Halving:
    """Half of the budget on everyone, then three batches within the best half, quarter and eighth.

    The first half is spent as in one shot. In a batch each pair is asked in both orders, the pairs being
    those whose order is least sure. Who stays is decided by an upper bound of the posterior; more stay
    where fewer would not have as many pairs as the batch has calls. Ranked by the posterior mean of worth:
    the top is well known, the order of the others hardly.
    """

    orders: Orders = "one"

    def __init__(self, contestants: Sequence[str], seed: int, config: HalvingConfig) -> None:
        self._book = Scorebook(contestants)
        size = len(contestants)
        self.match_count = min(config.calls(size), size * (size - 1))
        self._asked_NN = np.zeros((size, size), dtype=np.int_)
        self._left = self.match_count
        self._under_way = 0
        self._batch = 0
        self._waiting: list[Pairing] = []
        seats = random.Random(seed).sample(range(size), size)
        opening = regular_graph(size, -(-self.match_count // 2))
        self._start("opening", [(seats[first], seats[second]) for first, second in opening])

    def ready(self) -> Sequence[Pairing]:
        handed_out, self._waiting = self._book.hand_out(self._waiting), []
        return handed_out

    def record(self, pairing: Pairing, outcome: Outcome | None) -> None:
        self._book.record(pairing, outcome)
        self._under_way -= 1
        if not self._under_way and self._left:
            self._halve()

    def ranking(self) -> Ranking:
        return self._book.posterior_ranking()

    def _start(self, stage: str, calls: Sequence[tuple[int, int]]) -> None:
        names = self._book.contestants
        for first, second in calls:
            self._asked_NN[first, second] += 1
            self._waiting.append(Pairing(stage, names[first], names[second]))
        self._under_way = len(calls)
        self._left -= len(calls)

    def _halve(self) -> None:
        self._batch += 1
        size = len(self._book.contestants)
        count = -(-self._left // (HALVINGS + 1 - self._batch))
        stay = -(-size // 2**self._batch)
        while stay * (stay - 1) < count:
            stay += 1
        posterior = rate(self._book.comparisons, size)
        bound_N = posterior.mean_N + OPTIMISM * posterior.standard_deviation_N
        best = np.argsort(-bound_N, kind="stable")[:stay].tolist()
        pairs = most_telling(posterior, self._asked_NN, best, -(-count // 2))
        both_orders = [order for pair in pairs for order in (pair, pair[::-1])]
        self._start(f"batch {self._batch}", both_orders[:count])
