"""What was consumed, and how much may be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from palaestra.core.record import Record

Role = Literal["policy", "sub", "judge"]
"""Who made a call: the agent's own model, a model that it asked, or a judge."""


class Usage(Record):
    """Consumption of one call, or the sum over many. Adds up with `+`."""

    calls: int = 0
    tokens_in: int = 0
    """Prompt tokens, cached ones included."""
    tokens_out: int = 0
    """Generated tokens, hidden reasoning included."""
    tokens_cached: int = 0
    """The part of `tokens_in` that the provider read from its own prompt cache."""
    cost: float | None = 0.0
    """US dollars; None when any of the calls has no known price."""
    seconds: float = 0.0
    """Time spent waiting for the model, summed over calls (not elapsed time: calls overlap)."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            calls=self.calls + other.calls,
            tokens_in=self.tokens_in + other.tokens_in,
            tokens_out=self.tokens_out + other.tokens_out,
            tokens_cached=self.tokens_cached + other.tokens_cached,
            cost=None if self.cost is None or other.cost is None else self.cost + other.cost,
            seconds=self.seconds + other.seconds,
        )

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out


UsageByRole = Mapping[Role, Usage]


def total(usages: Iterable[Usage]) -> Usage:
    return sum(usages, Usage())


def add_by_role(first: UsageByRole, second: UsageByRole) -> dict[Role, Usage]:
    """The role-wise sum of two accounts."""
    roles: set[Role] = {*first, *second}
    return {role: first.get(role, Usage()) + second.get(role, Usage()) for role in sorted(roles)}
