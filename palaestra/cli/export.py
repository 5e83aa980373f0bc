"""`palaestra export`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Annotated, Literal

import typer

from palaestra.arena.leaderboard_page import leaderboard_page
from palaestra.cli.folders import LATEST, RunFolder, find
from palaestra.cli.judge import VERB as JUDGE
from palaestra.cli.judge import leaderboard
from palaestra.cli.text import print_table
from palaestra.core.errors import ConfigError, StoreError
from palaestra.datasets.judgements.importer import write_judgements
from palaestra.datasets.judgements.run import judgements_of
from palaestra.store.export import Format
from palaestra.store.export import export as export_store
from palaestra.store.run_store import RunStore

Target = Literal[Format, "judgements", "html"]

To = Annotated[
    Target,
    typer.Option(
        "--to",
        help="File format of the tables; judgements: one JSONL file of prompts, answers and votes, which "
        "recorded/<file> judges from; html: the leaderboard of a judged run as a page.",
    ),
]
Folder = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="FOLDER", help="Where the files go; by default the run's own folder 'export'."
    ),
]


def export(run: RunFolder = LATEST, to: To = "jsonl", out: Folder = None) -> None:
    """Write the results of a run as files."""
    with closing(RunStore.open(find(run))) as store:
        written = _write(store, to, out)
    if not any(written.values()):
        print(f"{store.id} has no results yet", file=sys.stderr)
        return
    print_table(("rows", "file"), [(rows, file) for file, rows in written.items()])


def _write(store: RunStore, to: Target, out: Path | None) -> Mapping[Path, int]:
    """The files, and the rows of each."""
    folder = out or store.folder / "export"
    try:
        if to == "judgements":
            return _write_judgements(store, folder / "votes.jsonl")
        if to == "html":
            return _write_page(store, folder / "leaderboard.html")
    except OSError as error:
        raise StoreError(f"cannot write to {folder}: {error.strerror}; choose another --out") from error
    return export_store(store, to, out)


def _write_judgements(store: RunStore, file: Path) -> Mapping[Path, int]:
    file.parent.mkdir(parents=True, exist_ok=True)
    return {file: write_judgements(judgements_of(store), file)}


def _write_page(store: RunStore, file: Path) -> Mapping[Path, int]:
    if store.verb != JUDGE.name:
        raise ConfigError(f"{store.id} is a run of {store.verb!r}; only a judged run has a leaderboard")
    board = leaderboard(store)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(leaderboard_page(board, f"Leaderboard of {store.id}"), encoding="utf-8")
    return {file: len(board.systems)}
