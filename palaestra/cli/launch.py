"""The one way to start a verb that makes a run.

A verb's file names its work once, as a module-level constant, and declares its flags with the types of
`palaestra.cli.options`. This is `palaestra.cli.run` with only the first of the flags of its own:

    VERB = Verb(name="run", schema=RunConfig, work=run_agent, report=print_answers)

    def run(
        settings: options.Settings = None,
        config: options.ConfigFile = None,
        agent: Annotated[str | None, typer.Option(help="rlm, memory or react.", show_default=False)] = None,
        limit: options.Limit = None,
        max_cost: options.MaxCost = None,
        seed: options.Seed = None,
        changes: options.Overrides = None,
        out: options.Out = options.RUNS,
        dry_run: options.DryRun = False,
        display: options.Display = "auto",
    ) -> None:
        \"\"\"Run an agent on tasks.\"\"\"
        flags = {"agent.name": agent, "limit": limit, "max_cost": max_cost, "seed": seed}
        overrides = options.as_overrides(flags, changes, settings)
        launch(VERB, config=config, overrides=overrides, out=out, dry_run=dry_run, display=display)

The first line of the docstring is the verb's summary in `palaestra --help`, and stands in the table of
`palaestra.cli.main` as well. `palaestra resume` finds `VERB` through `palaestra.cli.resume`, so `work`
must be able to go on from whatever the store already holds.
"""

from __future__ import annotations

import asyncio
import shlex
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Generic, TypeVar

import typer

from palaestra.cli.display import open_display
from palaestra.cli.options import DisplayKind
from palaestra.cli.text import one_line
from palaestra.core.config import VerbConfig, resolve, to_yaml
from palaestra.core.errors import PalaestraError
from palaestra.core.events import Event, RunFinished, RunStarted, Sink
from palaestra.models.estimate import check_models
from palaestra.store.lock import hold
from palaestra.store.run_store import RunStore
from palaestra.store.runs import came_to_nothing, remove, spent, summarize

C = TypeVar("C", bound=VerbConfig)

EXIT_CODES = {"done": 0, "limit": 0, "error": 1, "failures": 3, "interrupted": 130}
"""Of the process, by the status with which the run finished; an error may know a better one."""

ENDINGS = {
    "done": "done",
    "failures": "finished with failures",
    "limit": "stopped at a limit",
    "error": "error",
    "interrupted": "interrupted",
}
"""What stands before the reason, by status."""


@dataclass(frozen=True)
class Verb(Generic[C]):
    """What `launch` and `resume` must know of a verb."""

    name: str
    schema: type[C]
    work: Callable[[C, RunStore, Sink], Awaitable[RunFinished]]
    """Does everything, from the first start or from what the store holds after an earlier one.

    Events go to the sink, which stores and shows them. Ctrl-C cancels the work once. To keep `max_cost`, the
    work charges `palaestra.store.runs.run_meter`. In what it returns, `usage` is that of the
    whole run; left empty, it is what `spent` says at the end.
    """
    report: Callable[[RunStore], None]
    """Prints the results on stdout, from the store."""
    check: Callable[[C], None] = lambda settings: None
    """Raises what the work would raise at once, before a run is made for it."""
    forecast: Callable[[C], Iterable[str]] = lambda settings: ()
    """What the work would take, in lines for --dry-run."""
    retries: bool = False
    """Whether failed trajectories can be taken up again, by `palaestra resume --retry-errors`."""


def launch(
    verb: Verb[C],
    *,
    config: Path | None,
    overrides: Sequence[str],
    out: Path,
    dry_run: bool,
    display: DisplayKind,
) -> None:
    """Resolve the configuration, make a run under `out` and carry it out; or print the configuration only,
    with what the run would take as comments.

    Raises:
        PalaestraError: the settings or the inputs cannot be used; no run is made then.
        typer.Exit: the run did not finish as it should; its code is that of `EXIT_CODES` or of the error.
    """
    settings = resolve(verb.schema, config, overrides)
    check_models(settings)
    verb.check(settings)
    if dry_run:
        print(to_yaml(settings), end="")
        for line in verb.forecast(settings):
            print(f"# {line}")
        return
    carry_out(verb, settings, RunStore.create(out, verb.name, settings), display)


def carry_out(verb: Verb[C], settings: C, store: RunStore, display: DisplayKind) -> None:
    """Do the work of a new or resumed run, and tell how it ended. Closes the store.

    A new run that fails before anything was done is removed: it is as well to start it again.
    """
    with closing(store), hold(store.folder):
        with open_display(display, store.folder, summarize(store)) as show:

            def emit(event: Event) -> None:
                store.write(event)
                show(event)

            emit(RunStarted(verb=verb.name))
            finished, code = _outcome(verb.work(settings, store, emit))
            if not finished.usage:
                finished = finished.model_copy(update={"usage": spent(store)})
            emit(finished)
        if finished.status in ("done", "failures", "limit"):
            verb.report(store)
        is_empty = finished.status == "error" and came_to_nothing(store)
        if is_empty:
            remove(store)
    _say_how_it_ended(finished, None if is_empty else store.folder, verb.retries)
    if code:
        raise typer.Exit(code)


def _outcome(work: Awaitable[RunFinished]) -> tuple[RunFinished, int]:
    """How the work ended, and the exit code for it. Errors that are not ours pass on."""
    try:
        finished = asyncio.run(_cancelled_by_signals(work))
    except (asyncio.CancelledError, KeyboardInterrupt):
        finished = RunFinished(status="interrupted")
    except PalaestraError as error:
        return _failed(error)
    except ExceptionGroup as group:
        return _failed(_first_of_ours(group))
    return finished, EXIT_CODES[finished.status]


def _failed(error: PalaestraError) -> tuple[RunFinished, int]:
    return RunFinished(status="error", reason=one_line(str(error))), error.exit_code


async def _cancelled_by_signals(work: Awaitable[RunFinished]) -> RunFinished:
    """The work's result. The first Ctrl-C or SIGTERM cancels it cleanly, the second ends it on the spot."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def cancel(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        loop.call_soon_threadsafe(task.cancel)

    before = {number: signal.signal(number, cancel) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return await work
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _first_of_ours(group: ExceptionGroup[Exception]) -> PalaestraError:
    """The error that a task group wraps; a group with any other error in it is raised again."""
    _, others = group.split(PalaestraError)
    if others is not None:
        raise group
    error: Exception = group
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, PalaestraError)
    return error


def _say_how_it_ended(finished: RunFinished, folder: Path | None, retries: bool) -> None:
    """`folder` is None where there is no run any more."""
    kept = "" if folder else " (nothing was done, and no run is kept)"
    if finished.reason:
        print(f"{ENDINGS[finished.status]}: {finished.reason}{kept}", file=sys.stderr)
    if folder is None:
        return
    if finished.status in ("error", "interrupted", "limit"):
        print(f"resume with: palaestra resume {shlex.quote(str(folder))}", file=sys.stderr)
    if finished.status == "failures" and retries:
        print(f"retry with: palaestra resume {shlex.quote(str(folder))} --retry-errors", file=sys.stderr)
    print(f"run: {folder}", file=sys.stderr)
