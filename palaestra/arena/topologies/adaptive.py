"""Adaptive: compare next what would tell the most about the order."""

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


class AdaptiveConfig(BudgetedConfig):
    name: Literal["adaptive"] = "adaptive"


class Adaptive:
    """Half of the budget as in one shot, then the pairs whose order the posterior is least sure of.

    Calls stand in a sequence. It is continued by ⌈N/2⌉ at a time, given the answers to all but the latest N:
    those are still under way then, but who was asked is known, and so is how much the answers will tell.
    Up to N calls can thus be under way at any time, without waiting for the slowest of a round, and yet
    the sequence depends on the answers alone, not on when they arrive. Ranked by the posterior mean of worth.
    """

    orders: Orders = "one"

    def __init__(self, contestants: Sequence[str], seed: int, config: AdaptiveConfig) -> None:
        self._book = Scorebook(contestants)
        size = len(contestants)
        self.match_count = min(config.calls(size), size * (size - 1))
        self._asked_NN = np.zeros((size, size), dtype=np.int_)
        self._sequence: list[tuple[Pairing, int, int]] = []
        """With the seats of its two."""
        self._known = 0
        """How many calls from the start of the sequence are answered."""
        self._batch = 0
        self._outcomes: dict[Pairing, Outcome | None] = {}
        self._waiting: list[Pairing] = []
        seats = random.Random(seed).sample(range(size), size)
        for first, second in regular_graph(size, -(-self.match_count // 2)):
            self._append("opening", seats[first], seats[second])
        self._go_on()

    def ready(self) -> Sequence[Pairing]:
        handed_out, self._waiting = self._book.hand_out(self._waiting), []
        return handed_out

    def record(self, pairing: Pairing, outcome: Outcome | None) -> None:
        self._book.record(pairing, outcome)
        self._outcomes[pairing] = outcome
        self._go_on()

    def ranking(self) -> Ranking:
        return self._book.posterior_ranking()

    def _append(self, stage: str, first: int, second: int) -> None:
        pairing = Pairing(stage, self._book.contestants[first], self._book.contestants[second])
        self._asked_NN[first, second] += 1
        self._sequence.append((pairing, first, second))
        self._waiting.append(pairing)

    def _go_on(self) -> None:
        """Continue the sequence as far as the answers allow."""
        size = len(self._book.contestants)
        while self._known < len(self._sequence) and self._sequence[self._known][0] in self._outcomes:
            self._known += 1
        while (left := self.match_count - len(self._sequence)) > 0:
            latest = max(0, len(self._sequence) - size)
            if self._known < latest:
                return
            answers = ((pairing, self._outcomes[pairing]) for pairing, *_ in self._sequence[:latest])
            posterior = rate(
                [self._book.comparison(pairing, outcome) for pairing, outcome in answers if outcome], size
            )
            for _, first, second in self._sequence[latest:]:
                posterior = posterior.after(first, second)
            self._batch += 1
            for pair in most_telling(posterior, self._asked_NN, range(size), min(left, -(-size // 2))):
                self._append(f"batch {self._batch}", *pair)
