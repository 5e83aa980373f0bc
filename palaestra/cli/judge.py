"""`palaestra judge`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from functools import partial
from math import inf, nan
from pathlib import Path
from typing import Annotated, Any

import typer

from palaestra import arena
from palaestra.arena.forecast import calls_for, foresee
from palaestra.arena.judges.single import judge_settings
from palaestra.arena.judging import JudgeConfig, check
from palaestra.arena.judging import judge as judge_systems
from palaestra.arena.topologies.base import BudgetedConfig, Orders
from palaestra.arena.topologies.registry import TopologyName
from palaestra.cli import options
from palaestra.cli.calibrate import VERB as CALIBRATE
from palaestra.cli.launch import Verb, launch
from palaestra.cli.text import count, dollars, print_table
from palaestra.core.config import resolve
from palaestra.core.errors import ConfigError
from palaestra.core.events import JudgementGiven, TrajectoryFinished
from palaestra.store.run_store import RunStore

COLUMNS = ("system", "win rate", "95 %", "wins", "ties", "losses", "missing", "rating", "95 %", "length")


def leaderboard(store: RunStore) -> arena.Leaderboard:
    config = store.config(JudgeConfig)
    return arena.rank_systems(
        store.events(JudgementGiven),
        (event.trajectory for event in store.events(TrajectoryFinished)),
        config.orders,
        config.seed,
    )


def print_leaderboard(store: RunStore) -> None:
    board = leaderboard(store)
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
        "{:.0f} to {:.0f}".format(*score.rating_interval),
        f"{score.mean_length:.0f}",
    )


def _summary(board: arena.Leaderboard) -> Iterator[str]:
    yield f"{board.judged} matches judged, {board.missing} without a verdict"
    if board.both_orders:
        share = board.agreeing / board.both_orders
        yield f"both orders name the same winner in {board.agreeing} of {board.both_orders} ({share:.0%})"
    if board.alpha is not None:
        yield f"the judges of the panel agree by Krippendorff's alpha {board.alpha:.2f}"
    if board.unmatched:
        yield f"{board.unmatched} prompts with one answer only were left out"
    if board.alerts:
        yield (
            f"{board.alerts} verdicts on answers with signs that they address the judge; "
            "palaestra export writes the signs as alerts"
        )
    for judge, usage in board.usage.items():
        yield f"judge {judge}: {usage.calls} calls, {count(usage.tokens)} tokens, cost {dollars(usage.cost)}"


def tell_forecast(config: JudgeConfig) -> Iterator[str]:
    """What a run would take, at most, in a few lines."""
    expected = asyncio.run(foresee(config))
    yield f"{expected.groups} tournaments, {expected.questions} questions to the judge"
    for judge, usage in expected.usage.items():
        yield (
            f"judge {judge}: {usage.calls} calls, {count(usage.tokens_in)} tokens in and at most "
            f"{count(usage.tokens_out)} out, cost at most {dollars(usage.cost)}"
        )
    if config.tournament.retries:
        yield f"a question that gets no verdict is asked again, up to {config.tournament.retries} times"


VERB = Verb(
    name="judge",
    schema=JudgeConfig,
    work=judge_systems,
    report=print_leaderboard,
    check=check,
    forecast=tell_forecast,
)


Systems = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FILE]...",
        help="Answers to the same prompts, a .jsonl or .parquet file or an earlier run per system.",
        show_default=False,
    ),
]
JudgeName = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="A model, such as openai/gpt-5, or programmatic/<task family>."),
]
Human = Annotated[
    bool, typer.Option("--human", help="Judge yourself, in this terminal, each pair in one order.")
]
ApiBase = Annotated[str | None, typer.Option(metavar="URL", help="Where the judge's model is served.")]
RubricName = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|NAME", help="YAML file of what counts, and how much; or a shipped one: travel."
    ),
]
BUDGETED = "oneshot, adaptive and halving"
WhoMeetsWhom = Annotated[TopologyName | None, typer.Option(help="Who meets whom on each prompt.")]
CallsOrMoney = Annotated[
    str | None,
    typer.Option(
        metavar="CALLS|$MONEY",
        help=f"For {BUDGETED}: judge calls per prompt, or dollars for the whole run.",
    ),
]
BothOrOne = Annotated[Orders | None, typer.Option(help="Ask each pair in both orders, or in one.")]
LabelledPairs = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Examine the judge on labelled pairs instead of ranking systems."),
]


def judge(
    systems: Systems = None,
    config: options.ConfigFile = None,
    judge: JudgeName = None,
    human: Human = False,
    api_base: ApiBase = None,
    rubric: RubricName = None,
    topology: WhoMeetsWhom = None,
    budget: CallsOrMoney = None,
    orders: BothOrOne = None,
    calibrate: LabelledPairs = None,
    limit: options.Limit = None,
    max_cost: options.MaxCost = None,
    seed: options.Seed = None,
    changes: options.Overrides = None,
    out: options.Out = options.RUNS,
    dry_run: options.DryRun = False,
    display: options.Display = "auto",
) -> None:
    """Rank answers in a tournament of pairwise verdicts.

    A row of a file has a prompt, an answer and perhaps an id. Other names are given under systems in a
    settings file. --dry-run prints the settings and what the run would take.
    """
    by_hand = human or judge == "human"
    common = {
        **_judge_settings("human" if by_hand else judge),
        "judge.model.api_base": api_base,
        "judge.rubric": None if rubric is None else _absolute(rubric),
        "limit": limit,
        "max_cost": max_cost,
        "seed": seed,
    }
    ranking = {
        "systems": [_absolute(path) for path in systems] if systems else None,
        "topology": topology,
        "tournament.orders": orders,
    }
    shown: options.DisplayKind = "none" if by_hand else display
    start = partial(launch, config=config, out=out, dry_run=dry_run, display=shown)
    if calibrate is not None:
        if misplaced := [name for name, value in {**ranking, "budget": budget}.items() if value is not None]:
            raise ConfigError(f"--calibrate examines the judge alone; leave out {', '.join(misplaced)}")
        flags = {**common, "labelled": _absolute(str(calibrate))}
        start(CALIBRATE, overrides=options.as_overrides(flags, changes))
        return
    if by_hand and orders is None:
        ranking["tournament.orders"] = "one"
    overrides = options.as_overrides({**common, **ranking}, changes)
    if budget is not None:
        overrides.append(f"topology.budget={_calls(budget, resolve(JudgeConfig, config, overrides))}")
    start(VERB, overrides=overrides)


def _calls(budget: str, settings: JudgeConfig) -> int:
    """Judge calls per group, for a budget in calls or in dollars."""
    if not isinstance(settings.topology, BudgetedConfig):
        raise ConfigError(
            f"--budget needs a --topology that keeps one: {BUDGETED} do, {settings.topology.name} does not"
        )
    in_dollars = budget.startswith("$")
    try:
        amount = float(budget[1:]) if in_dollars else int(budget)
    except ValueError:
        amount = nan
    if not 0 < amount < inf:
        raise ConfigError(f"--budget {budget!r} is neither calls, such as 60, nor dollars: $5")
    return asyncio.run(calls_for(amount, settings)) if in_dollars else int(amount)


def _absolute(path: str) -> str:
    """A path that still means the same for a run resumed elsewhere, or when another run is the latest."""
    return str(Path(path).resolve()) if Path(path).exists() else path


def _judge_settings(name: str | None) -> Mapping[str, Any]:
    """A model's name goes into the settings of the file; another kind of judge replaces them."""
    settings = {} if name is None else judge_settings(name)
    if settings.get("kind") == "recorded":
        settings["path"] = _absolute(settings["path"])
    return {"judge.model.name": name} if settings.get("kind") == "llm" else {"judge": settings or None}
