"""`palaestra list`."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from palaestra.cli.options import RUNS
from palaestra.cli.tally import name_counts
from palaestra.cli.text import count, dollars, print_table
from palaestra.core.errors import StoreError
from palaestra.core.usage import total
from palaestra.store.run_store import RunStore
from palaestra.store.runs import RunSummary, find_runs, summarize

MOST_COUNTS = 3
"""Of what a run holds, the last kinds: they come of those before."""

Root = Annotated[Path, typer.Argument(metavar="[FOLDER]", help="The folder in which the runs are.")]


def list_runs(root: Root = RUNS) -> None:
    """List the runs in a folder."""
    summaries = [summary for folder in find_runs(root) if (summary := _summary_of(folder))]
    if not summaries:
        print(f"no runs in {root}; palaestra demo makes the first", file=sys.stderr)
        return
    print_table(("run", "state", "holds", "tokens", "cost"), map(_row, summaries))


def _row(summary: RunSummary) -> tuple[str, ...]:
    """The verb is in the name of the run."""
    consumed = total(summary.usage.values())
    holds = ", ".join(name_counts(summary.counts)[-MOST_COUNTS:])
    return summary.id, summary.state, holds, count(consumed.tokens), dollars(consumed.cost)


def _summary_of(folder: Path) -> RunSummary | None:
    """None, with a line on stderr, for a run that cannot be read."""
    try:
        with closing(RunStore.open(folder)) as store:
            return summarize(store)
    except StoreError as error:
        print(f"skipped: {error}", file=sys.stderr)
        return None
