"""`palaestra export`."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from palaestra.cli.folders import LATEST, RunFolder, find
from palaestra.cli.text import print_table
from palaestra.store.export import Format
from palaestra.store.export import export as export_store
from palaestra.store.run_store import RunStore

To = Annotated[Format, typer.Option("--to", help="File format.")]
Target = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Where the files go; by default the run's own folder 'export'."),
]


def export(run: RunFolder = LATEST, to: To = "jsonl", out: Target = None) -> None:
    """Write the results of a run as JSONL or Parquet."""
    with closing(RunStore.open(find(run))) as store:
        written = export_store(store, to, out)
    if not written:
        print(f"{store.id} has no results yet", file=sys.stderr)
        return
    print_table(("rows", "file"), [(rows, file) for file, rows in written.items()])
