"""Progress on stderr, in the form that its reader can use."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from palaestra.cli.options import DisplayKind
from palaestra.cli.tally import Tally, name_counts
from palaestra.cli.text import count, dollars
from palaestra.core.events import Event, Sink, discard
from palaestra.store.runs import RunSummary

PLAIN_SECONDS = 2.0
"""Between two lines of the plain display, at least."""
JSON_CHARACTERS = 200
"""Of a text in the JSON display; the store has it whole."""


def open_display(kind: DisplayKind, folder: Path, summary: RunSummary) -> AbstractContextManager[Sink]:
    """A sink that shows the progress of the run as long as it is open."""
    if kind == "auto":
        kind = "rich" if sys.stderr.isatty() else "plain"
    return _DISPLAYS[kind](folder, Tally(summary))


@contextmanager
def _rich(folder: Path, tally: Tally) -> Iterator[Sink]:
    def render() -> Group:
        account = Table.grid(padding=(0, 3))
        for role, usage in tally.usage.items():
            tokens = f"{count(usage.tokens_in)} tokens in", f"{count(usage.tokens_out)} out"
            account.add_row(
                f"  {role}", f"{count(usage.calls)} calls", *tokens, f"cost {dollars(usage.cost)}"
            )
        progress = f"{tally.elapsed}  {', '.join(name_counts(tally.counts))}"
        return Group(Text(folder.name, style="bold"), Text(f"  {progress}"), account)

    with Live(get_renderable=render, console=Console(stderr=True), refresh_per_second=4):
        yield tally.add


@contextmanager
def _plain(folder: Path, tally: Tally) -> Iterator[Sink]:
    shown = time.monotonic()
    print(f"run {folder}", file=sys.stderr, flush=True)

    def show(event: Event) -> None:
        nonlocal shown
        tally.add(event)
        if time.monotonic() - shown >= PLAIN_SECONDS:
            shown = time.monotonic()
            print(tally, file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        print(tally, file=sys.stderr, flush=True)


@contextmanager
def _json(folder: Path, tally: Tally) -> Iterator[Sink]:
    def show(event: Event) -> None:
        print(json.dumps(_outline(json.loads(event.model_dump_json()))), file=sys.stderr, flush=True)

    yield show


def _outline(value: Any) -> Any:
    """The value with long texts cut and with lists replaced by their length."""
    if isinstance(value, dict):
        return {key: _outline(item) for key, item in value.items()}
    if isinstance(value, list):
        return len(value)
    if isinstance(value, str):
        return value[:JSON_CHARACTERS]
    return value


@contextmanager
def _none(folder: Path, tally: Tally) -> Iterator[Sink]:
    yield discard


_DISPLAYS: dict[str, Callable[[Path, Tally], AbstractContextManager[Sink]]] = {
    "rich": _rich,
    "plain": _plain,
    "json": _json,
    "none": _none,
}
