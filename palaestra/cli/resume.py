"""`palaestra resume`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

import typer

from palaestra.cli.folders import LATEST, RunFolder, find
from palaestra.cli.launch import Verb, carry_out
from palaestra.cli.options import Display, DisplayKind, MaxCost, as_overrides
from palaestra.core.config import VerbConfig, resolve
from palaestra.core.errors import ConfigError, StoreError
from palaestra.core.places import load
from palaestra.store.lock import hold
from palaestra.store.run_store import RunStore
from palaestra.store.runs import reopen_failed, summarize

C = TypeVar("C", bound=VerbConfig)

VERBS = {
    "run": "palaestra.cli.run:VERB",
    "judge": "palaestra.cli.judge:VERB",
    "bench": "palaestra.cli.bench:VERB",
    "calibrate": "palaestra.cli.calibrate:VERB",
    "train": "palaestra.cli.train:VERB",
    "discover": "palaestra.cli.discover:VERB",
}
"""Where the verb of a run is found."""
CHANGEABLE = ("max_cost", "budget", "concurrency")
"""Settings that do not decide what the run is about."""

Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.SUB=VALUE", help=f"Change a limit: {', '.join(CHANGEABLE)}."),
]


RetryErrors = Annotated[
    bool, typer.Option("--retry-errors", help="Take up again the trajectories that ended with an error.")
]


def resume(
    run: RunFolder = LATEST,
    max_cost: MaxCost = None,
    retry_errors: RetryErrors = False,
    changes: Changes = None,
    display: Display = "auto",
) -> None:
    """Go on with a run that stopped early.

    What is finished is not done again, and no answer that was paid for is asked again. With --retry-errors
    trajectories that ended with an error are not finished: each goes on after its last turn. The settings
    are those of the run; only its limits may change.
    """
    store = RunStore.open(find(run))
    verb = _verb_of(store)
    if retry_errors:
        _reopen(verb, store)
    continue_run(verb, store, as_overrides({"max_cost": max_cost}, changes), display)


def continue_run(verb: Verb[C], store: RunStore, changes: Sequence[str], display: DisplayKind) -> None:
    """Carry out the rest of a run, with changed limits.

    Raises:
        ConfigError: a change goes to another setting than a limit.
        StoreError: another process works on the run.
    """
    stored, settings = store.config(verb.schema), resolve(verb.schema, store.folder / "config.yaml", changes)
    refused = [key for key in _differing(stored.model_dump(), settings.model_dump()) if not _may_change(key)]
    if refused:
        raise ConfigError(
            f"a resumed run keeps its settings, but these differ: {', '.join(refused)}; "
            f"only {', '.join(CHANGEABLE)} may change, so start a new run"
        )
    state = summarize(store).state
    if state in ("done", "failures"):
        again = " or resume it with --retry-errors" if state == "failures" and verb.retries else ""
        print(f"{store.id} is finished ({state}); palaestra show {store.folder}{again}", file=sys.stderr)
        return
    carry_out(verb, settings, store, display)


def _reopen(verb: Verb[Any], store: RunStore) -> None:
    if not verb.retries:
        raise ConfigError(
            f"--retry-errors is for runs of agents, and {store.id} is one of {verb.name}; leave it out"
        )
    with hold(store.folder):
        number = reopen_failed(store)
    if number:
        print(f"{number} failed trajectories are taken up again", file=sys.stderr)


def _verb_of(store: RunStore) -> Verb[Any]:
    if store.verb not in VERBS:
        raise StoreError(
            f"{store.folder} was made by {store.verb!r}, which cannot be resumed; start a new run"
        )
    verb: Verb[Any] = load(VERBS[store.verb], f"a run of {store.verb}")
    return verb


def _may_change(key: str) -> bool:
    return key.partition(".")[0] in CHANGEABLE


def _differing(before: Any, after: Any, key: str = "") -> list[str]:
    """The dotted keys at which two dumps of one schema differ."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return [key] if before != after else []
    return [
        found
        for name in {**before, **after}
        for found in _differing(before.get(name), after.get(name), f"{key}.{name}" if key else name)
    ]
