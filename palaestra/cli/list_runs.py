"""`palaestra list`."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from palaestra.cli.options import RUNS
from palaestra.cli.tally import WORDS
from palaestra.cli.text import consumption, print_table
from palaestra.core.errors import StoreError
from palaestra.store.run_store import RunStore
from palaestra.store.runs import RunSummary, find_runs, summarize

Root = Annotated[Path, typer.Argument(metavar="[FOLDER]", help="The folder in which the runs are.")]


def list_runs(root: Root = RUNS) -> None:
    """List the runs in a folder."""
    summaries = [summary for folder in find_runs(root) if (summary := _summary_of(folder))]
    if not summaries:
        print(f"no runs in {root}; palaestra demo makes the first", file=sys.stderr)
        return
    kinds = [kind for kind in WORDS if any(kind in summary.counts for summary in summaries)]
    rows = [
        (
            summary.id,
            summary.verb,
            summary.state,
            *(summary.counts.get(kind, 0) for kind in kinds),
            "; ".join(consumption(role, usage) for role, usage in summary.usage.items()),
        )
        for summary in summaries
    ]
    print_table(("run", "verb", "state", *(WORDS[kind] for kind in kinds), "consumed"), rows)


def _summary_of(folder: Path) -> RunSummary | None:
    """None, with a line on stderr, for a run that cannot be read."""
    try:
        with closing(RunStore.open(folder)) as store:
            return summarize(store)
    except StoreError as error:
        print(f"skipped: {error}", file=sys.stderr)
        return None
