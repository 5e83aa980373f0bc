"""The arena's engine: wall time against what the judge's calls take at least, overhead, memory, ratings.

    python -m benchmarks.arena [--small] [--only wall overhead memory ratings]

Writes benchmarks/results/arena.json and its tables in docs/benchmarks.md. The judge is a stub whose answers
take a log-normal time; every verdict is committed to a run store when it arrives. `--small` takes a tenth of
the work and writes nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import evalica
import numpy as np

from benchmarks.arena_tables import write_arena_tables
from palaestra.arena.comparisons import Comparisons
from palaestra.arena.group import Group
from palaestra.arena.judging import JudgeConfig
from palaestra.arena.topologies.registry import TopologyName
from palaestra.arena.tournament import Tournament, TournamentConfig
from palaestra.core.budget import Budget, Meter
from palaestra.core.config import validate
from palaestra.core.events import Event, JudgementGiven, Sink
from palaestra.core.ranking import Ranking
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.verdict import NoVerdict, Verdict
from palaestra.store.run_store import RunStore

RESULTS = Path(__file__).parent / "results" / "arena.json"
TASK = Task(id="task", prompt="Which of the two is better?")
MEAN, SIGMA = 0.2, 0.6
"""Of a call's latency: the mean in seconds, and the standard deviation of its logarithm."""
SLOTS = 32
REPEATS = 5
PARTS = ("wall", "overhead", "memory", "ratings")


class StubJudge:
    """Answers after a log-normal time of the given mean: the number in each answer, with noise."""

    name = "stub"

    def __init__(self, mean: float, seed: int = 0) -> None:
        self.calls = 0
        self.seconds = 0.0
        """Latency, summed over all calls."""
        self._mean = mean
        self._draw = random.Random(seed)

    async def compare(
        self, task: Task, first: Trajectory, second: Trajectory, attempt: int = 0
    ) -> Verdict | NoVerdict:
        self.calls += 1
        if self._mean:
            latency = self._draw.lognormvariate(math.log(self._mean) - SIGMA**2 / 2, SIGMA)
            self.seconds += latency
            await asyncio.sleep(latency)
        noise = random.Random(f"{first.id} {second.id} {attempt}").gauss
        return Verdict.from_scores(*(_score(each, noise(0, 1)) for each in (first, second)))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--small", action="store_true", help="a tenth of the work; write nothing")
    options.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="measure these parts again")
    chosen = options.parse_args()
    scale = 10 if chosen.small else 1
    parts: dict[str, Callable[[], Any]] = {
        "wall": lambda: [measure_wall(name, groups=64 // min(scale, 4)) for name in get_args(TopologyName)],
        "overhead": lambda: measure_overhead(groups=400 // scale),
        "memory": lambda: measure_memory(matches=100_800 // scale),
        "ratings": lambda: measure_ratings(comparisons=1_000_000 // scale),
    }
    machine = {
        "cpu_count": os.cpu_count(),
        "platform": platform.platform(),
        "python": platform.python_version(),
    }
    known = {} if tuple(chosen.only) == PARTS else json.loads(RESULTS.read_text(encoding="utf-8"))
    measured = known | {"machine": machine} | {part: parts[part]() for part in chosen.only}
    print(json.dumps(measured, indent=2))
    if not chosen.small:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
        write_arena_tables(measured)


def measure_wall(topology: TopologyName, groups: int, size: int = 16) -> dict[str, float | str]:
    """Many groups at once, against the least time that their calls can take: with all slots busy throughout,
    or that of one group alone with as many slots as it likes, whichever is longer."""
    alone = StubJudge(MEAN)
    critical_path, _ = play(alone, topology, 1, size, concurrency=10_000)
    judge = StubJudge(MEAN)
    seconds, matches = play(judge, topology, groups, size, concurrency=SLOTS)
    least = max(judge.seconds / SLOTS, critical_path)
    return {
        "topology": topology,
        "groups": groups,
        "matches": matches,
        "calls": judge.calls,
        "seconds": seconds,
        "work_seconds": judge.seconds / SLOTS,
        "critical_path_seconds": critical_path,
        "ratio": seconds / least,
    }


def measure_overhead(groups: int, size: int = 16) -> dict[str, float]:
    """Milliseconds per match with a judge that takes no time: queue, topology, events and SQLite."""
    rates, matches = [], 0
    for _ in range(REPEATS):
        seconds, matches = play(StubJudge(0), "single-elimination", groups, size, concurrency=SLOTS)
        rates.append(1000 * seconds / matches)
    return {"matches": matches, "ms_per_match": statistics.median(rates)}


def measure_memory(matches: int, size: int = 16) -> dict[str, float]:
    """Resident memory over one long run: what it grew by after the first twentieth."""
    per_group = 2 * (size - 1)
    samples: list[float] = []
    with run_store() as store:

        def emit(event: Event) -> None:
            store.write(event)
            if isinstance(event, JudgementGiven):
                samples.append(resident_mb())

        seconds, played = play(
            StubJudge(0), "single-elimination", matches // per_group, size, concurrency=SLOTS, emit=emit
        )
    start = samples[len(samples) // 20]
    return {
        "matches": played,
        "verdicts": len(samples),
        "seconds": seconds,
        "start_mb": start,
        "growth_mb": max(samples) - start,
    }


def measure_ratings(comparisons: int, systems: int = 100, resamples: int = 100) -> dict[str, float]:
    """Strengths with bootstrap intervals, and `evalica.bootstrap` on the same synthetic comparisons."""
    draw = np.random.default_rng(0)
    strength = draw.normal(size=systems)
    first, second = draw.integers(systems, size=(2, comparisons))
    second = np.where(first == second, (second + 1) % systems, second)
    won = (draw.random(comparisons) < 1 / (1 + np.exp(strength[second] - strength[first]))).astype(float)
    table = Comparisons(systems, first, second, won, prompt=np.arange(comparisons))
    winners = [evalica.Winner.X if each else evalica.Winner.Y for each in won]
    names = list(range(systems))
    xs, ys = [names[each] for each in first], [names[each] for each in second]

    ours = seconds_of(lambda: table.rating_intervals(resamples, seed=0))
    theirs = seconds_of(
        lambda: evalica.bootstrap(
            evalica.bradley_terry,
            xs,
            ys,
            winners,
            n_resamples=resamples,
            bootstrap_method="percentile",
            random_state=0,
        )
    )
    return {
        "comparisons": comparisons,
        "systems": systems,
        "resamples": resamples,
        "seconds": ours,
        "evalica_seconds": theirs,
        "ratio": ours / theirs,
    }


def play(
    judge: StubJudge,
    topology: TopologyName,
    groups: int,
    size: int,
    concurrency: int,
    emit: Sink | None = None,
) -> tuple[float, int]:
    """Seconds and matches of a tournament of that many groups, made while it is played."""
    with run_store() as store:
        tournament = Tournament(
            judge,
            TournamentConfig(),
            concurrency=concurrency,
            meter=Meter(Budget(turns=None)),
            emit=emit or store.write,
        )
        started = time.perf_counter()
        matches = asyncio.run(_drain(tournament, topology, groups, size))
        return time.perf_counter() - started, matches


async def _drain(tournament: Tournament, topology: TopologyName, groups: int, size: int) -> int:
    entered = (group(f"{place}", topology, size) for place in range(groups))
    matches = 0
    async for _, ranking in tournament.results(entered):
        assert isinstance(ranking, Ranking)
        matches += sum(standing.comparisons for standing in ranking.standings) // 2
    return matches


def group(id: str, topology: TopologyName, size: int) -> Group:
    draw = random.Random(id)
    contestants = [
        Trajectory(
            id=f"{id}/{seat}",
            task_id=TASK.id,
            agent="benchmark",
            status="finished",
            answer=f"{draw.uniform(2, 8):.3f}",
        )
        for seat in range(size)
    ]
    return Group.of(id, TASK, contestants, topology, 0)


@contextmanager
def run_store() -> Iterator[RunStore]:
    settings = {"systems": ["stub.jsonl"], "judge": "scripted/judge"}
    with tempfile.TemporaryDirectory() as folder:
        store = RunStore.create(Path(folder), "judge", validate(JudgeConfig, settings, "benchmark"))
        yield store
        store.close()


def resident_mb() -> float:
    """Of this process (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def seconds_of(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _score(trajectory: Trajectory, error: float) -> float:
    return min(10.0, max(0.0, float(trajectory.answer) + error))


if __name__ == "__main__":
    main()
