"""One-shot: a single round on a balanced graph, then inference."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

from palaestra.arena.topologies.base import BudgetedConfig, Orders, Outcome, Pairing
from palaestra.arena.topologies.design import regular_graph
from palaestra.arena.topologies.scorebook import Scorebook
from palaestra.core.ranking import Ranking


class OneshotConfig(BudgetedConfig):
    name: Literal["oneshot"] = "oneshot"


class Oneshot:
    """As many calls as the budget has, all of them ready at once, each on a pair of its own in one order.

    Everyone is in equally many calls and first in half of them, up to one, on a regular graph over a random
    seating. A new pair tells more than the same pair the other way round; the position effect is
    estimated along with the worths. Ranked by the posterior mean of worth.
    """

    orders: Orders = "one"

    def __init__(self, contestants: Sequence[str], seed: int, config: OneshotConfig) -> None:
        self._book = Scorebook(contestants)
        seats = random.Random(seed).sample(contestants, len(contestants))
        graph = regular_graph(len(seats), config.calls(len(seats)))
        self._waiting = [Pairing("one shot", seats[first], seats[second]) for first, second in graph]
        self.match_count = len(graph)

    def ready(self) -> Sequence[Pairing]:
        handed_out, self._waiting = self._book.hand_out(self._waiting), []
        return handed_out

    def record(self, pairing: Pairing, outcome: Outcome | None) -> None:
        self._book.record(pairing, outcome)

    def ranking(self) -> Ranking:
        return self._book.posterior_ranking()
