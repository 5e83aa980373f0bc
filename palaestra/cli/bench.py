"""`palaestra bench`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Annotated, Literal

import typer

from palaestra.agents.longcontext import LongContextConfig, Point, by_family, points, results_of
from palaestra.agents.longcontext import bench as run_bench
from palaestra.agents.runner import try_sandbox
from palaestra.cli import options
from palaestra.cli.curves import draw, tokens
from palaestra.cli.launch import Verb, launch
from palaestra.cli.text import count, dollars, print_table
from palaestra.core.errors import ConfigError
from palaestra.datasets.families import long_context_family
from palaestra.store.run_store import RunStore

UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20}
PLOT = "longcontext.svg"
"""In the run's folder."""


def print_curves(store: RunStore) -> None:
    """Accuracy, consumption and time by agent and length; accuracy by family; and a plot of the first."""
    results = results_of(store)
    overall = points(results)
    if not overall:
        return
    columns = ("agent", "tokens", "tasks", "accuracy", "cost", "calls", "tokens used", "seconds a task")
    print_table(columns, map(_row, overall))
    print()
    lengths = sorted({point.tokens for point in overall})
    rows = [
        (family, agent, *(_accuracy(found, agent, length) for length in lengths))
        for family, found in by_family(results).items()
        for agent in dict.fromkeys(point.agent for point in found)
    ]
    print_table(("family", "agent", *map(tokens, lengths)), rows)
    curves = {
        agent: [(point.tokens, point.score) for point in overall if point.agent == agent]
        for agent in dict.fromkeys(point.agent for point in overall)
    }
    plot = store.folder / PLOT
    plot.write_text(draw(curves), encoding="utf-8")
    print(f"\nplot: {plot}")


def check(settings: LongContextConfig) -> None:
    """
    Raises:
        ConfigError: a family is unknown, or an agent is named twice.
        SandboxUnavailable: an agent finds no sandbox.
    """
    for name in settings.families:
        long_context_family(name)
    names = [agent.name for agent in settings.agents]
    if len(set(names)) < len(names):
        raise ConfigError(f"{', '.join(names)} has a name twice; run one bench for each of its settings")
    asyncio.run(try_sandbox(settings, settings.agents))


VERB = Verb(
    name="bench", schema=LongContextConfig, work=run_bench, report=print_curves, check=check, retries=True
)


def bench(
    suite: Annotated[Literal["longcontext"], typer.Argument(help="What is measured.")],
    config: options.ConfigFile = None,
    agents: Annotated[
        str | None, typer.Option(metavar="NAME,…", help="Of plain, react, rlm, memory.", show_default=False)
    ] = None,
    lengths: Annotated[
        str | None, typer.Option(metavar="TOKENS,…", help="Such as 8k,128k,1m.", show_default=False)
    ] = None,
    families: Annotated[
        str | None, typer.Option(metavar="NAME,…", help="Such as niah-single,mrcr-8.", show_default=False)
    ] = None,
    tasks: Annotated[
        int | None, typer.Option(help="Of each family, at each length.", show_default=False)
    ] = None,
    model: options.ModelName = None,
    sub_model: options.SubModelName = None,
    max_cost: options.MaxCost = None,
    seed: options.Seed = None,
    changes: options.Overrides = None,
    out: options.Out = options.RUNS,
    dry_run: options.DryRun = False,
    display: options.Display = "auto",
) -> None:
    """Measure agents by the length of their contexts.

    The tasks are generated. Without --model a scripted reader with a window of 128k tokens answers.
    """
    flags = {
        "agents": None if agents is None else [{"name": name} for name in _listed(agents)],
        "lengths": None if lengths is None else [parse_length(text) for text in _listed(lengths)],
        "families": None if families is None else _listed(families),
        "tasks": tasks,
        "model.name": model,
        "sub_model.name": sub_model,
        "max_cost": max_cost,
        "seed": seed,
    }
    launch(
        VERB,
        config=config,
        overrides=options.as_overrides(flags, changes),
        out=out,
        dry_run=dry_run,
        display=display,
    )


def parse_length(text: str) -> int:
    """
    >>> parse_length("8k"), parse_length("1M"), parse_length("5000")
    (8192, 1048576, 5000)

    Raises:
        ConfigError: it is no length.
    """
    number = re.fullmatch(r"(\d+)([km]?)", text.lower())
    if number is None:
        raise ConfigError(f"{text!r} is no length in tokens; write it as 8k, 1m or 5000")
    return int(number[1]) * UNITS[number[2]]


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _row(point: Point) -> tuple[object, ...]:
    usage = point.usage
    return (
        point.agent,
        tokens(point.tokens),
        point.tasks,
        f"{point.score:.0%}",
        dollars(usage.cost),
        count(usage.calls),
        count(usage.tokens),
        f"{point.seconds:.2f}",
    )


def _accuracy(found: Sequence[Point], agent: str, length: int) -> str:
    scores = [point.score for point in found if (point.agent, point.tokens) == (agent, length)]
    return f"{scores[0]:.0%}" if scores else ""
