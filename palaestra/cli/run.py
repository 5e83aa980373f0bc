"""`palaestra run`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from palaestra.agents.runner import RunConfig, try_sandbox
from palaestra.agents.runner import run as run_agent
from palaestra.cli import options
from palaestra.cli.launch import Verb, launch
from palaestra.core.errors import DataError
from palaestra.core.events import TaskLoaded, TrajectoryFinished
from palaestra.core.record import canonical_json
from palaestra.datasets.loaders import load_tasks
from palaestra.datasets.rows import HUB
from palaestra.datasets.scores import scored
from palaestra.store.run_store import RunStore


def print_answers(store: RunStore) -> None:
    """The answer to a single question as it is; of a file of tasks, a JSON line for every trajectory, with a
    score where the task's family knows one."""
    scores = {result.trajectory.id: result.score for result in scored(store)}
    places = {event.task.id: place for place, event in enumerate(store.events(TaskLoaded))}
    trajectories = [event.trajectory for event in store.events(TrajectoryFinished)]
    single = store.config(RunConfig).ask is not None
    for trajectory in sorted(trajectories, key=lambda trajectory: places[trajectory.task_id]):
        row = trajectory.model_dump(mode="json", include={"id", "task_id", "status", "answer", "reason"})
        row |= {"score": scores[trajectory.id]} if trajectory.id in scores else {}
        print(trajectory.answer if single else canonical_json(row))
        if single and trajectory.status == "limit":
            print(f"stopped at a limit: {trajectory.reason}", file=sys.stderr)


def check(settings: RunConfig) -> None:
    """See that the tasks can be read, those of the hub excepted, and that the agent finds what it needs.

    Raises:
        ConfigError, DataError, SandboxUnavailable: they cannot, or it does not.
    """
    if settings.tasks is not None and not settings.tasks.path.startswith(HUB):
        load_tasks(settings.tasks, settings.limit)
    for path in settings.context:
        if not Path(path).exists():
            raise DataError(f"cannot read {path}: there is no such file or folder; check the path")
    asyncio.run(try_sandbox(settings, [settings.agent]))


VERB = Verb(name="run", schema=RunConfig, work=run_agent, report=print_answers, check=check, retries=True)


def run(
    settings: options.Settings = None,
    config: options.ConfigFile = None,
    agent: Annotated[str | None, typer.Option(help="rlm, memory or react.", show_default=False)] = None,
    model: options.ModelName = None,
    sub_model: options.SubModelName = None,
    api_base: Annotated[
        str | None, typer.Option(metavar="URL", help="Where the models are served.", show_default=False)
    ] = None,
    ask: Annotated[
        str | None, typer.Option(metavar="TEXT", help="A single question.", show_default=False)
    ] = None,
    context: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH", help="File or folder that --ask is about; may be repeated.", show_default=False
        ),
    ] = None,
    tasks: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Tasks, as .jsonl or .parquet file.", show_default=False),
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(help="Trajectories for each task.", show_default=False)
    ] = None,
    limit: options.Limit = None,
    max_cost: options.MaxCost = None,
    seed: options.Seed = None,
    changes: options.Overrides = None,
    out: options.Out = options.RUNS,
    dry_run: options.DryRun = False,
    display: options.Display = "auto",
) -> None:
    """Run an agent on tasks.

    Either on the one question of --ask, about the files of --context, or on every task of a file.
    """
    flags = {
        "agent.name": agent,
        "model.name": model,
        "model.api_base": api_base,
        "sub_model.name": sub_model,
        "sub_model.api_base": api_base if sub_model is not None else None,
        "ask": ask,
        "context": [str(path.absolute()) for path in context] if context else None,
        "tasks.path": None if tasks is None else str(tasks.absolute()),
        "repeats": repeats,
        "limit": limit,
        "max_cost": max_cost,
        "seed": seed,
    }
    overrides = options.as_overrides(flags, changes, settings)
    launch(VERB, config=config, overrides=overrides, out=out, dry_run=dry_run, display=display)
