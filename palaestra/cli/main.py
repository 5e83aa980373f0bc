"""The command `palaestra`: a table of verbs, of which only the one that is called is imported."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated, NamedTuple

import typer

from palaestra.core.errors import PalaestraError
from palaestra.core.places import load


class Entry(NamedTuple):
    """Where a verb's function is, and what the help says of it without importing it."""

    panel: str
    place: str
    summary: str
    """The first line of the function's docstring."""


FLOW, RUNS, TOOLS = "Run, judge, train", "Runs on disk", "Tools"

VERBS = {
    "run": Entry(FLOW, "palaestra.cli.run:run", "Run an agent on tasks."),
    "judge": Entry(FLOW, "palaestra.cli.judge:judge", "Rank answers in a tournament of pairwise verdicts."),
    "train": Entry(FLOW, "palaestra.cli.train:train", "Train a policy on the rankings of its own answers."),
    "discover": Entry(
        FLOW, "palaestra.cli.discover:discover", "Solve hard tasks by learning from the attempts at each."
    ),
    "demo": Entry(FLOW, "palaestra.cli.demo:demo", "Run, judge and train on this machine, without a key."),
    "bench": Entry(FLOW, "palaestra.cli.bench:bench", "Measure agents by the length of their contexts."),
    "resume": Entry(RUNS, "palaestra.cli.resume:resume", "Go on with a run that stopped early."),
    "list": Entry(RUNS, "palaestra.cli.list_runs:list_runs", "List the runs in a folder."),
    "show": Entry(RUNS, "palaestra.cli.show:show", "Show what is in a run."),
    "compare": Entry(RUNS, "palaestra.cli.compare:compare", "Compare two runs on the same tasks."),
    "export": Entry(RUNS, "palaestra.cli.export:export", "Write the results of a run as files."),
    "merge": Entry(TOOLS, "palaestra.cli.merge:merge", "Merge policies that were trained from one base."),
    "tasks": Entry(TOOLS, "palaestra.cli.tasks:tasks", "Generate tasks of a family as a file."),
    "serve": Entry(TOOLS, "palaestra.cli.serve:serve", "Serve a model or an agent over OpenAI's HTTP API."),
    "sandbox": Entry(TOOLS, "palaestra.cli.sandbox:sandbox", "Make what the sandbox backend 'docker' needs."),
    "clean": Entry(TOOLS, "palaestra.cli.clean:clean", "Remove containers that dead processes left behind."),
    "doctor": Entry(TOOLS, "palaestra.cli.doctor:doctor", "Tell what this machine offers."),
}


def main() -> None:
    """The console script."""
    called = next((word for word in sys.argv[1:] if not word.startswith("-")), None)
    try:
        build(called)()
    except PalaestraError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(error.exit_code)


def build(called: str | None) -> typer.Typer:
    """The command with all verbs; `called` is real, the others are placeholders for the help."""
    app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
    app.callback()(_palaestra)
    for name, entry in VERBS.items():
        if name == called:
            app.command(name)(load(entry.place, f"palaestra {name}"))
        else:
            app.command(name, help=entry.summary, rich_help_panel=entry.panel)(_placeholder)
    return app


def _placeholder() -> None:
    raise AssertionError("a verb that is called has been loaded")


def _show_version(wanted: bool) -> None:
    if wanted:
        print(version("palaestra"))
        raise typer.Exit


def _palaestra(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Run language-model agents, rank their trajectories in tournaments, train a policy on the rankings."""
