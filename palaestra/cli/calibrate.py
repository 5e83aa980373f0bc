"""What `palaestra judge --calibrate` does and prints."""

from __future__ import annotations

from palaestra.arena.calibration import (
    CalibrationConfig,
    calibrate_judge,
    calibration_of,
    check_calibration,
)
from palaestra.cli.launch import Verb
from palaestra.cli.text import count, dollars, print_table
from palaestra.store.run_store import RunStore


def print_calibration(store: RunStore) -> None:
    report = calibration_of(store)
    low, high = report.interval or (0, 0)
    interval = f" (95 % interval {low:.1%} to {high:.1%})" if report.interval else ""
    rows = [
        ("agrees with the label", _percent(report.accuracy) + interval),
        ("Cohen's kappa", _number(report.kappa)),
        ("is right, better one shown first", _percent(report.accuracy_better_first)),
        ("is right, better one shown second", _percent(report.accuracy_better_second)),
        ("decides for who is shown first", _percent(report.first_wins)),
        ("says otherwise in the other order", _percent(report.flips)),
        ("cannot tell the two apart", _percent(report.ties)),
        (
            "decides for the longer answer",
            f"{_percent(report.longer_wins)} (the labels: {_percent(report.labels_longer_wins)})",
        ),
        ("correlation of points and length", _number(report.length_correlation)),
        ("says the same when asked again", _percent(report.self_consistency)),
        ("contradicts itself in a circle", f"{_percent(report.cyclic_triples)} of {report.triples} triples"),
    ]
    print_table((f"judge {report.judge}", ""), rows)
    print()
    print(f"{report.pairs} labelled pairs judged in both orders, {report.missing} without a verdict")
    usage = report.usage
    print(f"{usage.calls} calls, {count(usage.tokens)} tokens, cost {dollars(usage.cost)}")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


VERB = Verb(
    name="calibrate",
    schema=CalibrationConfig,
    work=calibrate_judge,
    report=print_calibration,
    check=check_calibration,
)
