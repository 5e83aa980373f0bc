"""Verdicts that were recorded, to be asked again.

    python -m benchmarks.recorded_verdicts FILE

writes such a file from the project's own judge: complete round-robins in both orders between plans for day
trips, scored by their hidden utility with an error and a preference for the first.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Literal

from palaestra.arena.judges.programmatic import ProgrammaticJudge
from palaestra.core.record import Record
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.verdict import NoVerdict, Verdict
from palaestra.datasets.families import family

GROUPS, SIZE = 24, 8
NOISE, BIAS = 1.5, 0.4
"""Points: standard deviation of the error of each score; what the first gets on top."""

POINTS = {"first": (10.0, 0.0), "tie": (5.0, 5.0), "second": (0.0, 10.0)}


class RecordedVerdict(Record):
    """One line of a file."""

    group: str
    first: str
    second: str
    score_first: float | None
    """0 to 10; null when the judge gave no scores."""
    score_second: float | None
    winner: Literal["first", "second", "tie"] | None
    """null when there was no verdict."""

    @property
    def judgement(self) -> Verdict | NoVerdict:
        if self.winner is None:
            return NoVerdict(reason="recorded as none")
        if self.score_first is None or self.score_second is None:
            return Verdict(winner=self.winner, scores=POINTS[self.winner])
        return Verdict(winner=self.winner, scores=(self.score_first, self.score_second))


@dataclass(frozen=True)
class RecordedGroup:
    names: Sequence[str]
    verdicts: Mapping[tuple[str, str], Verdict | NoVerdict]

    def judge(self, first: int, second: int, attempt: int) -> Verdict | NoVerdict:
        """What was recorded, however often it is asked for."""
        return self.verdicts[self.names[first], self.names[second]]


def read_groups(file: Path) -> Iterator[RecordedGroup]:
    groups: dict[str, dict[tuple[str, str], Verdict | NoVerdict]] = defaultdict(dict)
    for line in file.read_text(encoding="utf-8").splitlines():
        row = RecordedVerdict.model_validate_json(line)
        groups[row.group][row.first, row.second] = row.judgement
    for group, verdicts in groups.items():
        names = list(dict.fromkeys(name for pair in verdicts for name in pair))
        if missing := [pair for pair in permutations(names, 2) if pair not in verdicts]:
            raise SystemExit(
                f"{file}: {group} has no line for {missing[0]}; record every pair in both orders"
            )
        yield RecordedGroup(names, verdicts)


async def record() -> list[RecordedVerdict]:
    trips = family("trip")
    judge = ProgrammaticJudge(
        "trip", lambda task, plan: 10 * trips.utility(task, plan.answer), NOISE, BIAS, seed=1
    )
    tasks, examples = trips.tasks(GROUPS, "held-out", seed=1), trips.examples(GROUPS * SIZE, seed=1)
    rows = []
    for place, task in enumerate(tasks):
        # Plans that were made for other requests: good and bad ones for this.
        plans = [
            Trajectory(
                id=f"plan-{seat}", task_id=task.id, agent="trip", status="finished", answer=plan.answer
            )
            for seat, plan in enumerate(examples[place * SIZE : (place + 1) * SIZE])
        ]
        rows += [await verdict_on(judge, task, *pair) for pair in permutations(plans, 2)]
    return rows


async def verdict_on(
    judge: ProgrammaticJudge, task: Task, first: Trajectory, second: Trajectory
) -> RecordedVerdict:
    verdict = await judge.compare(task, first, second)
    assert isinstance(verdict, Verdict)
    scores = [round(score, 1) for score in verdict.scores]
    winner = Verdict.from_scores(scores[0], scores[1]).winner
    return RecordedVerdict(
        group=task.id,
        first=first.id,
        second=second.id,
        score_first=scores[0],
        score_second=scores[1],
        winner=winner,
    )


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("file", type=Path)
    rows = asyncio.run(record())
    options.parse_args().file.write_text(
        "".join(f"{row.model_dump_json()}\n" for row in rows), encoding="utf-8"
    )
