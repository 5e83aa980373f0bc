"""A small verb that counts, as its own command: `counting.py launch …` and `counting.py resume RUN …`."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Literal

import typer

from palaestra.cli.folders import LATEST, RunFolder
from palaestra.cli.launch import Verb, launch
from palaestra.cli.options import (
    RUNS,
    ConfigFile,
    Display,
    DryRun,
    Limit,
    MaxCost,
    Out,
    Overrides,
    Seed,
    Settings,
    as_overrides,
)
from palaestra.cli.resume import Changes, continue_run
from palaestra.core.config import VerbConfig
from palaestra.core.errors import ConfigError, ModelUnreachable, PalaestraError
from palaestra.core.events import CallMade, RunFinished, Sink, TrajectoryFinished
from palaestra.core.trajectory import Trajectory
from palaestra.core.usage import Usage
from palaestra.store.run_store import RunStore

Ending = Literal["done", "failures", "limit", "model", "config", "group", "bug", "deaf"]


class CountingConfig(VerbConfig):
    upto: int = 10
    seconds: float = 0.0
    """Between two numbers."""
    ending: Ending = "done"
    """What happens after the last number."""


async def count(config: CountingConfig, store: RunStore, emit: Sink) -> RunFinished:
    """One trajectory and one call for every number that the store does not have yet."""
    known = {event.trajectory.id for event in store.events(TrajectoryFinished)}
    usage = Usage(calls=1, tokens_in=1000, cost=None)
    for number in map(str, range(config.upto)):
        if number in known:
            continue
        await asyncio.sleep(config.seconds)
        emit(CallMade(trajectory_id=number, role="policy", model="m", usage=usage, cached=False))
        trajectory = Trajectory(id=number, task_id=number, agent="count", status="finished", answer=number)
        emit(TrajectoryFinished(trajectory=trajectory))
        print(f"counted {number}", flush=True)
    return await end(config.ending)


async def end(ending: Ending) -> RunFinished:
    match ending:
        case "done" | "failures" | "limit":
            return RunFinished(status=ending, reason="" if ending == "done" else "as configured")
        case "model" | "config":
            raise {"model": ModelUnreachable, "config": ConfigError}[ending]("no connection;\ncheck it")
        case "group":
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(fail(ModelUnreachable("no connection")))
                tasks.create_task(asyncio.sleep(60))
        case "deaf":
            while True:
                time.sleep(0.01)
    raise RuntimeError("a bug")


async def fail(error: PalaestraError) -> None:
    raise error


def report(store: RunStore) -> None:
    print(f"counted to {sum(1 for _ in store.events(TrajectoryFinished))}")


VERB = Verb(name="counting", schema=CountingConfig, work=count, report=report)

app = typer.Typer(pretty_exceptions_enable=False)


@app.command("launch")
def start(
    settings: Settings = None,
    config: ConfigFile = None,
    upto: int | None = None,
    limit: Limit = None,
    max_cost: MaxCost = None,
    seed: Seed = None,
    changes: Overrides = None,
    out: Out = RUNS,
    dry_run: DryRun = False,
    display: Display = "auto",
) -> None:
    flags = {"upto": upto, "limit": limit, "max_cost": max_cost, "seed": seed}
    overrides = as_overrides(flags, changes, settings)
    launch(VERB, config=config, overrides=overrides, out=out, dry_run=dry_run, display=display)


@app.command()
def resume(run: RunFolder = LATEST, changes: Changes = None, display: Display = "auto") -> None:
    continue_run(VERB, RunStore.open(run), changes or [], display)


if __name__ == "__main__":
    try:
        app()
    except PalaestraError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
