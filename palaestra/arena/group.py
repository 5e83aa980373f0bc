"""A group of answers to one task, and the state of its tournament. No I/O and no clock in here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from palaestra.arena.match import Order, orders_of, outcome_of
from palaestra.arena.topologies.base import Orders, Pairing, Topology
from palaestra.arena.topologies.registry import AnyTopologyConfig, TopologyName, topology
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
    """Those that are there."""
    topology: Topology
    """Made for the ids of the contestants; used up by one tournament."""
    awaited: Sequence[str] = ()
    """Ids of those that are still at work."""

    @classmethod
    def of(
        cls,
        id: str,
        task: Task,
        contestants: Sequence[Trajectory],
        choice: TopologyName | AnyTopologyConfig,
        seed: int,
    ) -> Group:
        """A group with a fresh topology of its own seed, drawn from `seed` and the group's id."""
        names = [each.id for each in contestants]
        return cls(id, task, contestants, topology(choice, names, derive_seed(seed, id)))

    @classmethod
    def awaiting(
        cls, id: str, task: Task, names: Sequence[str], choice: TopologyName | AnyTopologyConfig, seed: int
    ) -> Group:
        """The same group before any of its contestants, whose ids are `names`, has arrived."""
        return cls(id, task, (), topology(choice, names, derive_seed(seed, id)), awaited=names)


class Arrival(NamedTuple):
    """A contestant that has finished, for a group that awaits it."""

    group: str
    trajectory: Trajectory


class Unranked(NamedTuple):
    """No match of a group has a verdict, or a contestant never arrived, so there is nothing to rank by."""

    reason: str
    """Why the last answer of the judge was none, or who is missing."""


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

    Each match is asked in the `orders` given, unless the topology has its own way.
    An answer without a verdict is asked again, as a new attempt, up to `retries` times per match and order.
    """

    def __init__(self, group: Group, orders: Orders, retries: int) -> None:
        self.group = group
        self.contestants: dict[str, Trajectory] = {}
        self.evidence: dict[str, int] = {}
        """Characters that a judge may be shown of each contestant."""
        self._orders = group.topology.orders or orders
        self._retries = retries
        self._asked: Counter[Order] = Counter()
        self._open: dict[Pairing, dict[Order, Verdict | NoVerdict]] = {}
        self._calls: list[Call] = []
        self._decided = 0
        self._last_failure = ""
        for trajectory in group.contestants:
            self.enter(trajectory)
        self._open_matches()

    def calls(self) -> list[Call]:
        """The questions that can be asked now, both contestants being there, without those handed out."""
        calls, self._calls = self._calls, []
        here: list[Call] = []
        for call in calls:
            both = call.first in self.contestants and call.second in self.contestants
            (here if both else self._calls).append(call)
        return here

    def enter(self, trajectory: Trajectory) -> None:
        """A contestant has arrived."""
        self.contestants[trajectory.id] = trajectory
        self.evidence[trajectory.id] = evidence_size(trajectory)

    @property
    def missing(self) -> list[str]:
        """Who has not arrived."""
        return [name for name in self.group.awaited if name not in self.contestants]

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


def evidence_size(trajectory: Trajectory) -> int:
    """Characters of everything that a judge may be shown of it."""
    return len(trajectory.answer) + sum(
        len(step.thought) + len(step.observation) + sum(len(action.content) for action in step.actions)
        for step in trajectory.steps
    )
