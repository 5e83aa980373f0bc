"""A training run in two small tables: its evaluations, and the metrics of its first and its last update."""

from __future__ import annotations

from palaestra.cli.text import describe, print_table
from palaestra.core.events import UpdateDone
from palaestra.store.run_store import RunStore

METRICS = (
    "loss",
    "utility",
    "entropy",
    "kl_to_reference",
    "kl_to_teacher",
    "effective_sample_size_tokens",
    "sampler_gap_mean",
)
"""Those that are shown, of whichever the objective has; palaestra export writes them all."""


def print_training(store: RunStore) -> None:
    """What the last evaluation found; where there were several the first, the best and the last one; and what
    became of the metrics."""
    updates = [update for update in store.events(UpdateDone) if update.phase == "train"]
    evaluations = [update for update in store.events(UpdateDone) if update.phase == "evaluation"]
    if evaluations:
        print(f"\n{describe(evaluations[-1])}")
    if len(evaluations) > 1:
        best = max(evaluations, key=lambda update: update.metrics["win_rate"])
        named = {"first": evaluations[0], "best": best, "last": evaluations[-1]}
        print()
        print_table(("evaluation", "step", "win rate", "utility"), map(_evaluated, named, named.values()))
    if updates:
        first, last = updates[0], updates[-1]
        known = [name for name in METRICS if name in last.metrics]
        print()
        print_table(
            ("metric", f"step {first.step}", f"step {last.step}"),
            [(name, *(_number(update.metrics.get(name)) for update in (first, last))) for name in known],
        )


def _evaluated(name: str, evaluation: UpdateDone) -> tuple[object, ...]:
    metrics = evaluation.metrics
    return name, evaluation.step, f"{metrics['win_rate']:.1%}", f"{metrics['utility']:.3f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
