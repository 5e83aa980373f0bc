"""Groups, judges and plays for the tests of the tournament."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterable, Iterable, Sequence

from palaestra.arena.group import Arrival, Group, Unranked
from palaestra.arena.judges.base import Judge
from palaestra.arena.judges.programmatic import ProgrammaticJudge
from palaestra.arena.topologies.registry import TopologyName
from palaestra.arena.tournament import Tournament, TournamentConfig
from palaestra.core.budget import Budget, Meter
from palaestra.core.errors import ModelUnreachable
from palaestra.core.events import Event, JudgementGiven, RankingMade
from palaestra.core.ranking import Ranking
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.usage import Usage
from palaestra.core.verdict import NoVerdict, Verdict


def worth(task: Task, trajectory: Trajectory) -> float:
    return float(trajectory.answer)


EXACT = ProgrammaticJudge("exact", worth)
NOISY = ProgrammaticJudge("noisy", worth, noise=1.5, position_bias=1.0, seed=7)


class FailingJudge:
    """Gives no verdict for chosen (first, second, attempt) triples; None stands for any."""

    name = "failing"

    def __init__(self, *failures: tuple[str | None, str | None, int | None], judge: Judge = EXACT) -> None:
        self._failures = failures
        self._judge = judge
        self.asked: Counter[tuple[str, str, int]] = Counter()

    async def compare(
        self, task: Task, first: Trajectory, second: Trajectory, attempt: int = 0
    ) -> Verdict | NoVerdict:
        call = (first.id, second.id, attempt)
        self.asked[call] += 1
        for failure in self._failures:
            if all(wanted in (None, actual) for wanted, actual in zip(failure, call, strict=True)):
                return NoVerdict(reason="mumbled", usage=Usage(calls=1, cost=0.5))
        return await self._judge.compare(task, first, second, attempt)


class SlowJudge:
    """Takes a while of its own for each call, counts the calls under way, charges, and dies at some point."""

    name = "slow"

    def __init__(self, dies_after: int | None = None, cost: float = 0.0, seed: int = 0) -> None:
        self.calls = self.under_way = self.most = self.finished = 0
        self._dies_after = dies_after
        self._cost = cost
        self._seed = seed

    async def compare(
        self, task: Task, first: Trajectory, second: Trajectory, attempt: int = 0
    ) -> Verdict | NoVerdict:
        self.calls += 1
        if self._dies_after is not None and self.calls > self._dies_after:
            raise ModelUnreachable("nobody answers; start the server")
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        draw = random.Random(f"{self._seed} {first.id} {second.id} {attempt}")
        await asyncio.sleep(draw.uniform(0, 0.004))
        self.under_way -= 1
        self.finished += 1
        judgement = await NOISY.compare(task, first, second, attempt)
        return judgement.model_copy(update={"usage": Usage(calls=1, cost=self._cost)})


def group(id: str, worths: Sequence[float], topology: TopologyName = "single-elimination") -> Group:
    contestants = [
        Trajectory(id=f"{id}-{seat}", task_id=id, agent="a", status="finished", answer=str(value))
        for seat, value in enumerate(worths)
    ]
    return Group.of(id, Task(id=id, prompt="?"), contestants, topology, seed=1)


def groups(count: int, size: int, topology: TopologyName = "single-elimination") -> list[Group]:
    draw = random.Random(count * 1000 + size)
    return [group(f"g{n}", [draw.uniform(0, 10) for _ in range(size)], topology) for n in range(count)]


async def play(
    judge: Judge,
    to_play: Iterable[Group] | AsyncIterable[Group | Arrival],
    events: list[Event],
    *,
    concurrency: int = 8,
    cost: float | None = None,
    known: Iterable[JudgementGiven | RankingMade] = (),
    config: TournamentConfig | None = None,
) -> dict[str, Ranking | Unranked]:
    tournament = Tournament(
        judge,
        config or TournamentConfig(),
        concurrency=concurrency,
        meter=Meter(Budget(cost=cost)),
        emit=events.append,
        known=known,
    )
    return await tournament.play(to_play)


def judgements(events: Iterable[Event]) -> list[JudgementGiven]:
    return [event for event in events if isinstance(event, JudgementGiven)]


def ranking(result: Ranking | Unranked) -> Ranking:
    assert isinstance(result, Ranking)
    return result
