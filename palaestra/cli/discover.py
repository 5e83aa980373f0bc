"""`palaestra discover`."""

from __future__ import annotations

from typing import Annotated

import typer

from palaestra.cli import options
from palaestra.cli.launch import Verb, launch
from palaestra.cli.text import print_table
from palaestra.store.run_store import RunStore
from palaestra.training.discovery import DiscoveryConfig, check, discover_all, discoveries, discovery_at


def print_discoveries(store: RunStore) -> None:
    """How many attempts each task took, and the share of tasks that k attempts solve."""
    config = store.config(DiscoveryConfig)
    found = discoveries(config, store)
    print_table(
        ("task", "attempts", "drawn"),
        ((task, each.attempts or "-", each.drawn) for task, each in found.items()),
    )
    print()
    budgets = (config.rollout.group_size << doubled for doubled in range(config.rounds.bit_length()))
    rows = [(k, f"{discovery_at(k, list(found.values())):.1%}") for k in budgets]
    print_table(("k", "discovery@k"), rows)


VERB = Verb(name="discover", schema=DiscoveryConfig, work=discover_all, report=print_discoveries, check=check)


def discover(
    settings: options.Settings = None,
    config: options.ConfigFile = None,
    policy: Annotated[str | None, typer.Option(help="hf/<folder or hub id>.")] = None,
    family: Annotated[str | None, typer.Option(help="Task family, whose verifier decides.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Of 16 attempts each, unless settings differ.")] = None,
    limit: options.Limit = None,
    seed: options.Seed = None,
    changes: options.Overrides = None,
    out: options.Out = options.RUNS,
    dry_run: options.DryRun = False,
    display: options.Display = "auto",
) -> None:
    """Solve hard tasks by learning from the attempts at each.

    Test-time self-distillation (SDPO): for each held-out task, a group of attempts, an update from what the
    verifier says of them, and again, until one is right. Tells the number of attempts that it took.
    """
    flags = {
        "policy.name": policy,
        "family": family,
        "rounds": rounds,
        "limit": limit,
        "seed": seed,
    }
    overrides = options.as_overrides(flags, changes, settings)
    launch(VERB, config=config, overrides=overrides, out=out, dry_run=dry_run, display=display)
