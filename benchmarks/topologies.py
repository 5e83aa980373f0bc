"""Ranking quality per judge call: every topology on the same groups under the same noisy judges.

    python -m benchmarks.topologies [--quick] [--processes 2]
    python -m benchmarks.topologies --recorded benchmarks/data/trip-verdicts.jsonl

The first form simulates judges (benchmarks/noisy_judges.py), writes benchmarks/results/topologies.json and
the tables of docs/benchmarks.md; --quick takes a few small groups and writes nothing. The second plays the
same comparison on recorded verdicts and prints it: JSON lines with group, first, second, score_first,
score_second and winner, every pair of a group in both orders.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from multiprocessing import Pool
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np

from benchmarks.noisy_judges import Floats, JudgeKind, draw_world
from benchmarks.recorded_verdicts import read_groups
from benchmarks.topology_goals import check_goals
from benchmarks.topology_tables import as_table, write_topology_tables
from palaestra.arena.group import Group, GroupState, Unranked
from palaestra.arena.topologies.adaptive import AdaptiveConfig
from palaestra.arena.topologies.anchor import AnchorConfig
from palaestra.arena.topologies.double_elimination import DoubleEliminationConfig
from palaestra.arena.topologies.halving import HalvingConfig
from palaestra.arena.topologies.oneshot import OneshotConfig
from palaestra.arena.topologies.registry import AnyTopologyConfig, topology
from palaestra.arena.topologies.reranked import Reranked
from palaestra.arena.topologies.round_robin import RoundRobinConfig
from palaestra.arena.topologies.single_elimination import SingleEliminationConfig
from palaestra.arena.topologies.swiss import SwissConfig
from palaestra.core.ranking import Ranking
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.verdict import NoVerdict, Verdict

RESULTS = Path(__file__).parent / "results" / "topologies.json"
TRIALS = {4: 1000, 7: 800, 8: 800, 16: 500, 33: 200, 64: 200}
"""Groups of each size, per judge."""
ACCURACIES = (0.6, 0.7, 0.8, 0.9)
RETRIES = 2
REPLAYS = 20
"""Seeds of each topology on one recorded group."""

BASE = "single-elimination"
RERANKED = " + posterior"

Judge = Callable[[int, int, int], Verdict | NoVerdict]
"""The answer to a question: who is first, who second, which attempt."""


class Score(NamedTuple):
    calls: float
    tau: float
    """Kendall's tau-a with the true order: a tie counts 0."""
    top: float
    """Whether the best is on top; a share of it when it shares the top."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--quick", action="store_true", help="small groups, few of them; writes nothing")
    options.add_argument("--recorded", type=Path, metavar="FILE", help="compare on recorded verdicts")
    options.add_argument("--processes", type=int, default=1)
    chosen = options.parse_args()
    if chosen.recorded:
        print(as_table(compare_recorded(chosen.recorded)))
        return
    trials = {4: 20, 8: 20} if chosen.quick else TRIALS
    measured = compare_simulated(trials, chosen.processes)
    if chosen.quick:
        for cell in measured["cells"]:
            print(f"\n{cell['judge']}, {cell['accuracy']:.0%} right, N={cell['contestants']}\n")
            print(as_table(cell["methods"]))
        return
    RESULTS.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    write_topology_tables(measured)


def methods(contestants: int) -> Mapping[str, AnyTopologyConfig]:
    """What is compared. A reranked topology is also scored by its own ranking, without further calls."""
    half = 2 * (contestants - 1)
    return {
        "round-robin": RoundRobinConfig(rerank="posterior"),
        "anchor": AnchorConfig(rerank="posterior"),
        BASE: SingleEliminationConfig(rerank="posterior"),
        "double-elimination": DoubleEliminationConfig(rerank="posterior"),
        "double-elimination, by lot": DoubleEliminationConfig(seeding="lot", rerank="posterior"),
        "swiss": SwissConfig(rerank="posterior"),
        "oneshot": OneshotConfig(),
        "oneshot, half the calls": OneshotConfig(budget=half),
        "adaptive": AdaptiveConfig(),
        "adaptive, half the calls": AdaptiveConfig(budget=half),
        "halving": HalvingConfig(),
    }


def compare_simulated(trials: Mapping[int, int], processes: int = 1) -> dict[str, Any]:
    cells = [
        (kind, accuracy, contestants, count)
        for contestants, count in sorted(trials.items(), reverse=True)
        for kind in get_args(JudgeKind)
        for accuracy in ACCURACIES
    ]
    with Pool(processes) as pool:
        measured = sorted(
            pool.imap_unordered(measure_cell, cells),
            key=lambda cell: (cell["judge"], cell["accuracy"], cell["contestants"]),
        )
    return {"cells": measured, "goals": check_goals(measured)}


def measure_cell(cell: tuple[JudgeKind, float, int, int]) -> dict[str, Any]:
    """All methods on the same `count` groups under one judge."""
    kind, accuracy, contestants, count = cell
    started = time.process_time()
    scores: dict[str, list[Score]] = defaultdict(list)
    for seed in range(count):
        world = draw_world(kind, accuracy, contestants, seed)
        for name, score in score_methods(world.judge, world.worth_N, seed):
            scores[name].append(score)
    return {
        "judge": kind,
        "accuracy": accuracy,
        "contestants": contestants,
        "groups": count,
        "seconds": time.process_time() - started,
        "methods": summarise(scores),
    }


def score_methods(judge: Judge, worth_N: Floats, seed: int) -> Iterable[tuple[str, Score]]:
    """Each method's score against the order of `worth_N`."""
    for name, config in methods(len(worth_N)).items():
        state, calls = play(judge, config, len(worth_N), seed)
        yield name, score(own_ranking(state), worth_N, calls)
        if isinstance(state.group.topology, Reranked):
            yield name + RERANKED, score(state.result(), worth_N, calls)


def play(judge: Judge, config: AnyTopologyConfig, contestants: int, seed: int) -> tuple[GroupState, int]:
    """A whole tournament, and how many calls it took."""
    members = trajectories(contestants)
    board = topology(config, [member.id for member in members], seed)
    state = GroupState(Group("group", Task(id="task", prompt=""), members, board), "both", RETRIES)
    waiting, asked = state.calls(), 0
    while asked < len(waiting):
        call = waiting[asked]
        state.take(call, judge(int(call.first), int(call.second), call.attempt))
        waiting += state.calls()
        asked += 1
    return state, asked


@lru_cache
def trajectories(count: int) -> Sequence[Trajectory]:
    return [
        Trajectory(id=str(seat), task_id="task", agent="", status="finished", answer="")
        for seat in range(count)
    ]


def own_ranking(state: GroupState) -> Ranking | Unranked:
    result, board = state.result(), state.group.topology
    if isinstance(board, Reranked) and isinstance(result, Ranking):
        return board.schedule.ranking()
    return result


def score(result: Ranking | Unranked, worth_N: Floats, calls: int) -> Score:
    """A group without a ranking is one in which all are equal."""
    size = len(worth_N)
    ranks = dict.fromkeys(map(str, range(size)), 0) if isinstance(result, Unranked) else result.ranks
    rank_N = np.array([ranks[str(seat)] for seat in range(size)])
    agreement_NN = np.sign(worth_N[:, None] - worth_N) * np.sign(rank_N - rank_N[:, None])
    on_top_N = rank_N == 0
    return Score(calls, agreement_NN.sum() / (size * (size - 1)), on_top_N[worth_N.argmax()] / on_top_N.sum())


def summarise(scores: Mapping[str, Sequence[Score]]) -> dict[str, dict[str, float]]:
    """Means over groups, and their gains over single elimination on the same groups; ± is half of the 95 %
    interval."""
    base = np.array(scores[BASE])
    rows = {}
    for name, given in scores.items():
        values, gains = np.array(given), np.array(given) - base
        error, gain_error = (
            1.96 * each.std(axis=0, ddof=1) / math.sqrt(len(each)) for each in (values, gains)
        )
        rows[name] = {
            "calls": round(float(values[:, 0].mean()), 2),
            **{
                key: round(float(number), 4)
                for column, what in ((1, "tau"), (2, "top"))
                for key, number in (
                    (what, values[:, column].mean()),
                    (f"{what}_error", error[column]),
                    (f"{what}_gain", gains[:, column].mean()),
                    (f"{what}_gain_error", gain_error[column]),
                )
            },
        }
    return rows


def compare_recorded(file: Path) -> dict[str, dict[str, float]]:
    """The same comparison on recorded verdicts.

    The true order is not known there. In its place stands the posterior's order from all verdicts of the
    group: what is measured is how much of a full round-robin a topology gets with its calls. That favours
    rankings by the posterior over those by wins, so compare like with like. Intervals are over groups.
    """
    scores: dict[str, list[Score]] = defaultdict(list)
    for group in read_groups(file):
        size = len(group.names)
        full = play(group.judge, RoundRobinConfig(rerank="posterior"), size, seed=0)[0].result()
        if isinstance(full, Unranked):
            continue
        means = {standing.contestant: standing.score for standing in full.standings}
        worth_N = np.array([means[str(seat)] for seat in range(size)])
        replays: dict[str, list[Score]] = defaultdict(list)
        for seed in range(REPLAYS):
            for name, each in score_methods(group.judge, worth_N, seed):
                replays[name].append(each)
        for name, given in replays.items():
            scores[name].append(Score(*np.mean(given, axis=0).tolist()))
    return summarise(scores)


if __name__ == "__main__":
    main()
