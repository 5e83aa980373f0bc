"""A tournament that is played in a process of its own: `killed_tournament.py FOLDER ASKED`.

It goes on from what the run in FOLDER holds; every question is appended to the file ASKED before its answer.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from palaestra.arena.group import Group
from palaestra.arena.judges.programmatic import ProgrammaticJudge
from palaestra.arena.tournament import Tournament, TournamentConfig
from palaestra.core.budget import Budget, Meter
from palaestra.core.events import JudgementGiven, RankingMade
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.verdict import NoVerdict, Verdict
from palaestra.store.run_store import RunStore

NOISY = ProgrammaticJudge("noisy", lambda task, trajectory: float(trajectory.answer), noise=2.0, seed=3)


class NotingJudge:
    """Gives no verdict on one question in ten, and takes its time."""

    name = "noting"

    def __init__(self, file: Path, seconds: float) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._seconds = seconds

    async def compare(
        self, task: Task, first: Trajectory, second: Trajectory, attempt: int = 0
    ) -> Verdict | NoVerdict:
        question = f"{first.id} {second.id} {attempt}"
        os.write(self._file, f"{question}\n".encode())
        await asyncio.sleep(self._seconds)
        if random.Random(question).random() < 0.1:
            return NoVerdict(reason="mumbled")
        return await NOISY.compare(task, first, second, attempt)


def groups() -> Iterator[Group]:
    draw = random.Random(0)
    for n in range(6):
        contestants = [
            Trajectory(
                id=f"g{n}-{seat}",
                task_id=f"g{n}",
                agent="a",
                status="finished",
                answer=f"{draw.uniform(2, 8):.2f}",
            )
            for seat in range(7)
        ]
        yield Group.of(f"g{n}", Task(id=f"g{n}", prompt="?"), contestants, "single-elimination", seed=1)


def play(store: RunStore, judge: NotingJudge) -> None:
    tournament = Tournament(
        judge,
        TournamentConfig(),
        concurrency=4,
        meter=Meter(Budget(turns=None)),
        emit=store.write,
        known=chain(store.events(JudgementGiven), store.events(RankingMade)),
    )
    asyncio.run(tournament.play(groups()))


if __name__ == "__main__":
    play(RunStore.open(Path(sys.argv[1])), NotingJudge(Path(sys.argv[2]), seconds=0.02))
