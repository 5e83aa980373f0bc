"""`palaestra compare`."""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from palaestra.analysis.mcnemar import pair
from palaestra.cli.folders import find
from palaestra.cli.text import print_table
from palaestra.core.errors import DataError
from palaestra.datasets.scores import scored
from palaestra.store.run_store import RunStore

FirstRun = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.", show_default=False)]
SecondRun = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of another.", show_default=False)]


def compare(first: FirstRun, second: SecondRun) -> None:
    """Compare two runs on the same tasks.

    For each family: how many answers both runs, only one of them, or neither got right, and the exact
    two-sided p-value of McNemar's test. An answer is right when its score is 1. Trajectories are paired by
    their names.
    """
    before, after = _right(first), _right(second)
    rows = []
    for family in sorted(before.keys() & after.keys()):
        paired = pair(before[family], after[family])
        rows.append((family, *paired, f"{paired.p_value:.4f}"))
    if not rows:
        raise DataError("the two runs have no scored tasks in common; give runs on the same file of tasks")
    print_table(("family", "both right", "only first", "only second", "neither", "p"), rows)


def _right(run: Path) -> dict[str, dict[str, bool]]:
    """By family, which trajectories have the full score."""
    right: defaultdict[str, dict[str, bool]] = defaultdict(dict)
    with closing(RunStore.open(find(run))) as store:
        for result in scored(store):
            right[result.task.family][result.trajectory.id] = result.score == 1.0
    return right
