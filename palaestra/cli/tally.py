"""How far a run is, in numbers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping

from palaestra.cli.text import consumption, duration
from palaestra.core.events import CallMade, Event, JudgementGiven
from palaestra.core.usage import Role, Usage, add_by_role
from palaestra.store.runs import RunSummary, counted_as

WORDS = {
    "task-loaded": "tasks",
    "trajectory-finished": "trajectories",
    "judgement-given": "judgements",
    "ranking-made": "rankings",
    "warm-start": "warm-start steps",
    "train": "updates",
    "step-skipped": "skipped steps",
    "evaluation": "evaluations",
}
"""What a user calls what is counted."""


def name_counts(counts: Mapping[str, int]) -> list[str]:
    """The counts that are not zero, with their names: `['3 tasks', '2 trajectories']`."""
    return [f"{counts[kind]} {word}" for kind, word in WORDS.items() if counts.get(kind)]


class Tally:
    """Counts and consumption of a run, from what it had at the start and every event since."""

    def __init__(self, summary: RunSummary) -> None:
        self.usage: dict[Role, Usage] = dict(summary.usage)
        self.counts = Counter(summary.counts)
        self._started = time.monotonic()

    def add(self, event: Event) -> None:
        self.counts[counted_as(event)] += 1
        if isinstance(event, CallMade) and not event.cached:
            self.usage = add_by_role(self.usage, {event.role: event.usage})
        elif isinstance(event, JudgementGiven) and event.judgement.usage.calls:
            self.usage = add_by_role(self.usage, {"judge": event.judgement.usage})

    @property
    def elapsed(self) -> str:
        return duration(time.monotonic() - self._started)

    def __str__(self) -> str:
        usage = "; ".join(consumption(role, account) for role, account in self.usage.items())
        return " | ".join(part for part in (self.elapsed, ", ".join(name_counts(self.counts)), usage) if part)
