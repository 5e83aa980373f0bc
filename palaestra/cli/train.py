"""`palaestra train`."""

from __future__ import annotations

from typing import Annotated

import typer

from palaestra.cli import options
from palaestra.cli.launch import Verb, launch
from palaestra.cli.text import describe
from palaestra.core.events import UpdateDone
from palaestra.store.run_store import RunStore
from palaestra.training.config import TrainConfig
from palaestra.training.pipeline import train as train_policy
from palaestra.training.readiness import check


def print_result(store: RunStore) -> None:
    """The win rates of a training run, one line per evaluation."""
    for update in store.events(UpdateDone):
        if update.phase == "evaluation":
            print(describe(update))


VERB = Verb(name="train", schema=TrainConfig, work=train_policy, report=print_result, check=check)


def train(
    settings: options.Settings = None,
    config: options.ConfigFile = None,
    policy: Annotated[str | None, typer.Option(help="hf/<folder or hub id> or tiny/<name>.")] = None,
    judge: Annotated[str | None, typer.Option(help="A model, or programmatic/<task family>.")] = None,
    steps: Annotated[int | None, typer.Option(help="Batches of rollouts.")] = None,
    limit: options.Limit = None,
    max_cost: options.MaxCost = None,
    seed: options.Seed = None,
    changes: options.Overrides = None,
    out: options.Out = options.RUNS,
    dry_run: options.DryRun = False,
    display: options.Display = "auto",
) -> None:
    """Train a policy on the rankings of its own answers.

    Each step draws a group of answers per task, ranks them in a tournament, and pushes the policy from the
    lower towards the higher ranks (ArenaRL). `--config trip-arenarl` is a complete example.
    Other methods differ in where rewards come from (`reward=utility`), in what is done with them
    (`objective=grpo`) and in which answers are trained on (`objective=sft selection=best`).
    """
    flags = {
        "policy.name": policy,
        "judge": judge,
        "steps": steps,
        "limit": limit,
        "max_cost": max_cost,
        "seed": seed,
    }
    overrides = options.as_overrides(flags, changes, settings)
    launch(VERB, config=config, overrides=overrides, out=out, dry_run=dry_run, display=display)
