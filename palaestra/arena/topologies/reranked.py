"""Any topology as a mere schedule, and the posterior for the ranking."""

from __future__ import annotations

from collections.abc import Sequence

from palaestra.arena.topologies.base import Outcome, Pairing, Topology
from palaestra.arena.topologies.scorebook import Scorebook
from palaestra.core.ranking import Ranking


class Reranked:
    """The matches of `schedule`, ranked by the posterior mean of worth given all of them."""

    def __init__(self, contestants: Sequence[str], schedule: Topology) -> None:
        self.schedule = schedule
        self.orders = schedule.orders
        self.match_count = schedule.match_count
        self._book = Scorebook(contestants)

    def ready(self) -> Sequence[Pairing]:
        return self._book.hand_out(self.schedule.ready())

    def record(self, pairing: Pairing, outcome: Outcome | None) -> None:
        self.schedule.record(pairing, outcome)
        self._book.record(pairing, outcome)

    def ranking(self) -> Ranking:
        return self._book.posterior_ranking()
