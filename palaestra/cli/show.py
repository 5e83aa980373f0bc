"""`palaestra show`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from statistics import fmean
from typing import Annotated

import typer

from palaestra.cli.bench import print_curves
from palaestra.cli.folders import LATEST, RunFolder, find
from palaestra.cli.judge import print_leaderboard
from palaestra.cli.tally import name_counts
from palaestra.cli.text import consumption, duration, one_line, print_table, print_usage, printable
from palaestra.cli.training_tables import print_training
from palaestra.core.errors import StoreError
from palaestra.core.events import RankingMade, TrajectoryFinished
from palaestra.core.trajectory import Trajectory
from palaestra.datasets.scores import scored
from palaestra.store.run_store import RunStore
from palaestra.store.runs import find_trajectory, summarize

SHOWN = 20
"""Lines of a table in the overview."""
HEAD = 60
"""Characters of an answer in the overview."""

TrajectoryId = Annotated[
    str | None,
    typer.Option("--trajectory", metavar="ID", help="Print the steps of this one.", show_default=False),
]


def show(run: RunFolder = LATEST, trajectory: TrajectoryId = None) -> None:
    """Show what is in a run.

    The overview has its state, what it consumed, the results (leaderboard, win rates or training
    metrics), its first trajectories and rankings, and last its settings.
    """
    with closing(RunStore.open(find(run))) as store:
        if trajectory is None:
            _print_overview(store)
        elif found := find_trajectory(store, trajectory):
            _print_trajectory(found.trajectory)
        else:
            raise StoreError(
                f"{store.id} has no finished trajectory {trajectory!r}; without --trajectory they are listed"
            )


def _print_overview(store: RunStore) -> None:
    summary = summarize(store)
    print(f"run     {summary.id}\nfolder  {store.folder}\nstate   {summary.state}")
    if summary.reason:
        print(f"reason  {one_line(summary.reason)}")
    print(f"holds   {', '.join(name_counts(summary.counts)) or 'nothing yet'}")
    print_usage(summary.usage)
    _print_results(store)
    _print_some(("id", "task", "status", "steps", "answer"), map(_overview, store.events(TrajectoryFinished)))
    _print_some(("group", "rank", "contestant", "score", "comparisons"), _standings(store))
    settings = (store.folder / "config.yaml").read_text(encoding="utf-8")
    print(f"\n--- settings\n{printable(settings.rstrip())}")


def _print_results(store: RunStore) -> None:
    """What the verb itself prints when it is done."""
    print_training(store)
    if store.verb == "run":
        _print_some(("family", "scored", "mean score"), _mean_scores(store))
    if store.verb == "bench":
        print()
        print_curves(store)
    if store.verb == "judge" and store.last(RankingMade):
        print()
        print_leaderboard(store)


def _mean_scores(store: RunStore) -> Iterator[tuple[object, ...]]:
    by_family = defaultdict[str, list[float]](list)
    for result in scored(store):
        by_family[result.task.family].append(result.score)
    for family, scores in by_family.items():
        yield family, len(scores), f"{fmean(scores):.3f}"


def _print_some(columns: tuple[str, ...], rows: Iterator[tuple[object, ...]]) -> None:
    """The first rows as a table, with a note when there are more."""
    some = list(islice(rows, SHOWN + 1))
    if some:
        print()
        print_table(columns, some[:SHOWN])
    if len(some) > SHOWN:
        print("… palaestra export writes them all")


def _overview(event: TrajectoryFinished) -> tuple[object, ...]:
    trajectory = event.trajectory
    answer = one_line(trajectory.answer or trajectory.reason, HEAD)
    return trajectory.id, trajectory.task_id, trajectory.status, len(trajectory.steps), answer


def _standings(store: RunStore) -> Iterator[tuple[object, ...]]:
    for event in store.events(RankingMade):
        for standing in event.ranking.standings:
            error = "" if standing.standard_error is None else f" ± {standing.standard_error:.2g}"
            score = f"{standing.score:.4g}{error}"
            yield event.group, standing.rank, standing.contestant, score, standing.comparisons


def _print_trajectory(trajectory: Trajectory) -> None:
    print(f"trajectory  {trajectory.id} by {trajectory.agent}\ntask        {trajectory.task_id}")
    print(f"status      {trajectory.status}{trajectory.reason and f': {one_line(trajectory.reason)}'}")
    print(f"took        {duration(trajectory.seconds)}")
    for role, usage in trajectory.usage.items():
        print(f"consumed    {consumption(role, usage)}")
    for child in trajectory.children:
        print(f"child       {child.id}: {child.status}, {len(child.steps)} steps")
    for number, step in enumerate(trajectory.steps, start=1):
        print(f"\n--- step {number}, {step.seconds:.1f} s")
        print(printable(step.thought))
        for action in step.actions:
            print(f"\n> {action.kind} {action.name}".rstrip() + f"\n{printable(action.content)}")
        if step.observation:
            print(f"\n< observation\n{printable(step.observation)}")
    print(f"\n--- answer\n{printable(trajectory.answer)}")
