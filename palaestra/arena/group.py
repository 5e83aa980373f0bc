"""A group of answers to one task, and the state of its tournament. No I/O and no clock in here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from palaestra.arena.match import Order, Orders, orders_of, outcome_of
from palaestra.arena.topologies.base import Pairing, Topology
from palaestra.arena.topologies.registry import TopologyName, topology
from palaestra.core.ranking import Ranking
from palaestra.core.record import derive_seed
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.verdict import NoVerdict, Verdict


@dataclass(frozen=True)
class Group:
    id: str
    """Unique within the run."""
    task: Task
    contestants: Sequence[Trajectory]
    topology: Topology
    """Made for the ids of the contestants; used up by one tournament."""

    @classmethod
    def of(
        cls, id: str, task: Task, contestants: Sequence[Trajectory], name: TopologyName, seed: int
    ) -> Group:
        """A group with a fresh topology of its own seed, drawn from `seed` and the group's id."""
        names = [each.id for each in contestants]
        return cls(id, task, contestants, topology(name, names, derive_seed(seed, id)))


class Unranked(NamedTuple):
    """The judge gave no verdict on any match of a group, so there is nothing to rank by."""

    reason: str
    """Why the last answer of the judge was none."""


class Call(NamedTuple):
    """One question to the judge."""

    pairing: Pairing
    first: str
    second: str
    attempt: int
    """Times that this pair was asked before in this order, in this match or an earlier one."""
    retries: int
    """Times that it may be asked again in this match."""


class GroupState:
    """What is to be asked next in one group, and what the answers amount to.

    An answer without a verdict is asked again, as a new attempt, up to `retries` times per match and order.
    """

    def __init__(self, group: Group, orders: Orders, retries: int) -> None:
        self.group = group
        self.contestants = {trajectory.id: trajectory for trajectory in group.contestants}
        self._orders = orders
        self._retries = retries
        self._asked: Counter[Order] = Counter()
        self._open: dict[Pairing, dict[Order, Verdict | NoVerdict]] = {}
        self._calls: list[Call] = []
        self._decided = 0
        self._last_failure = ""
        self._open_matches()

    def calls(self) -> list[Call]:
        """The questions that can be asked now, without those already handed out."""
        calls, self._calls = self._calls, []
        return calls

    def take(self, call: Call, judgement: Verdict | NoVerdict) -> None:
        """The judge's answer to a question that was handed out."""
        order = (call.first, call.second)
        if isinstance(judgement, NoVerdict):
            self._last_failure = judgement.reason
            if call.retries:
                self._ask(call.pairing, order, call.retries - 1)
                return
        judgements = self._open[call.pairing]
        judgements[order] = judgement
        if len(judgements) == len(orders_of(call.pairing, self._orders)):
            del self._open[call.pairing]
            outcome = outcome_of(call.pairing, judgements)
            self._decided += outcome is not None
            self.group.topology.record(call.pairing, outcome)
            self._open_matches()

    @property
    def is_over(self) -> bool:
        return not self._open

    def result(self) -> Ranking | Unranked:
        ranking = self.group.topology.ranking()
        if ranking.undecided and not self._decided:
            return Unranked(self._last_failure)
        return ranking

    def _open_matches(self) -> None:
        for pairing in self.group.topology.ready():
            self._open[pairing] = {}
            for order in orders_of(pairing, self._orders):
                self._ask(pairing, order, self._retries)

    def _ask(self, pairing: Pairing, order: Order, retries: int) -> None:
        self._calls.append(Call(pairing, *order, attempt=self._asked[order], retries=retries))
        self._asked[order] += 1
