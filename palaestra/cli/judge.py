"""`palaestra judge`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from palaestra import arena
from palaestra.arena.judging import JudgeConfig
from palaestra.arena.judging import judge as judge_systems
from palaestra.arena.match import Orders
from palaestra.arena.topologies.registry import TopologyName
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
    as_overrides,
)
from palaestra.cli.text import count, dollars, print_table
from palaestra.core.events import JudgementGiven, TrajectoryFinished
from palaestra.store.run_store import RunStore

COLUMNS = ("system", "win rate", "95 %", "wins", "ties", "losses", "missing", "rating", "length")


def print_leaderboard(store: RunStore) -> None:
    config = store.config(JudgeConfig)
    board = arena.rank_systems(
        store.events(JudgementGiven),
        (event.trajectory for event in store.events(TrajectoryFinished)),
        config.tournament.orders,
        config.seed,
    )
    print_table(COLUMNS, map(_row, board.systems))
    print()
    for line in _summary(board):
        print(line)


def _row(score: arena.SystemScore) -> tuple[object, ...]:
    low, high = score.interval or (0, 0)
    return (
        score.system,
        "-" if score.win_rate is None else f"{score.win_rate:.1%}",
        f"{low:.1%} to {high:.1%}" if score.interval else "-",
        score.wins,
        score.ties,
        score.losses,
        score.missing,
        f"{score.rating:.0f}",
        f"{score.mean_length:.0f}",
    )


def _summary(board: arena.Leaderboard) -> list[str]:
    lines = [f"{board.judged} matches judged, {board.missing} without a verdict"]
    if board.both_orders:
        share = board.agreeing / board.both_orders
        lines.append(
            f"both orders name the same winner in {board.agreeing} of {board.both_orders} ({share:.0%})"
        )
    if board.unmatched:
        lines.append(f"{board.unmatched} prompts with one answer only were left out")
    for judge, usage in board.usage.items():
        lines.append(
            f"judge {judge}: {usage.calls} calls, {count(usage.tokens)} tokens, cost {dollars(usage.cost)}"
        )
    return lines


VERB = Verb(name="judge", schema=JudgeConfig, work=judge_systems, report=print_leaderboard)


def judge(
    systems: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE]...",
            help="Answers to the same prompts, a .jsonl or .parquet file or an earlier run per system.",
            show_default=False,
        ),
    ] = None,
    config: ConfigFile = None,
    judge: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A model, such as openai/gpt-5, or programmatic/<task family>."),
    ] = None,
    api_base: Annotated[
        str | None, typer.Option(metavar="URL", help="Where the judge's model is served.")
    ] = None,
    rubric: Annotated[
        Path | None, typer.Option(metavar="FILE", help="YAML file of what counts, and how much.")
    ] = None,
    topology: Annotated[TopologyName | None, typer.Option(help="Who meets whom on each prompt.")] = None,
    orders: Annotated[Orders | None, typer.Option(help="Ask each pair in both orders, or in one.")] = None,
    limit: Limit = None,
    max_cost: MaxCost = None,
    seed: Seed = None,
    changes: Overrides = None,
    out: Out = RUNS,
    dry_run: DryRun = False,
    display: Display = "auto",
) -> None:
    """Rank answers in a tournament of pairwise verdicts.

    A row of a file has a prompt, an answer and perhaps an id. Other names are given under systems in a
    settings file; --dry-run prints one.
    """
    flags = {
        "systems": [_absolute(path) for path in systems] if systems else None,
        **_judge_settings(judge),
        "judge.model.api_base": api_base,
        "judge.rubric": None if rubric is None else _absolute(str(rubric)),
        "topology": topology,
        "tournament.orders": orders,
        "limit": limit,
        "max_cost": max_cost,
        "seed": seed,
    }
    overrides = as_overrides(flags, changes)
    launch(VERB, config=config, overrides=overrides, out=out, dry_run=dry_run, display=display)


def _absolute(path: str) -> str:
    """A path that still means the same for a run resumed elsewhere, or when another run is the latest."""
    return str(Path(path).resolve()) if Path(path).exists() else path


def _judge_settings(name: str | None) -> Mapping[str, Any]:
    if name is None or not name.startswith("programmatic/"):
        return {"judge.model.name": name}
    return {"judge.kind": "programmatic", "judge.family": name.partition("/")[2]}
