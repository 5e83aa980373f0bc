"""Limits over a whole call tree, and the meter that every node of the tree charges."""

from __future__ import annotations

import time
from collections.abc import Callable

from pydantic import Field

from palaestra.core.errors import BudgetExceeded
from palaestra.core.record import Record
from palaestra.core.usage import Role, Usage, UsageByRole, add_by_role, total


class Budget(Record):
    """Limits of one trajectory and of everything it starts. None is unlimited."""

    turns: int | None = Field(default=30, ge=1)
    """Turns of each agent in the tree."""
    calls: int | None = Field(default=None, ge=1)
    """Model calls, over the tree."""
    tokens: int | None = Field(default=None, ge=1)
    """Tokens in and out, over the tree."""
    cost: float | None = Field(default=None, ge=0)
    """US dollars, over the tree; 0 allows what is free. A call of unknown price uses it up."""
    seconds: float | None = Field(default=None, gt=0)
    """Elapsed seconds since the root started."""
    depth: int = Field(default=1, ge=0)
    """Levels of calls below the root: with 0 its code can ask no model, with 1 plain ones, from 2 on also
    children that are agents themselves."""


class Meter:
    """Counts what a call tree consumed against one budget.

    `reserve` is called before a model call and `charge` after it, so that the calls in flight are
    the only ones by which a limit on tokens or cost can be passed; the one on calls never is.

    A meter may stand `within` another, which then has a say in every call and counts it too: that of a child
    within its parent's, that of a tree within the run's. `prefix` is what the settings behind the limits are
    called before the field: `max_` for `max_cost`. With `counts_cached` false, as for a run, answers from the
    cache are free: they were paid for before.
    """

    def __init__(
        self,
        budget: Budget,
        within: Meter | None = None,
        prefix: str = "budget.",
        *,
        counts_cached: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.budget = budget
        self.usage: dict[Role, Usage] = {}
        self.cut_off = ""
        """Why a meter around this one refused a call, if one did: the tree did not end by itself."""
        self._within = within
        self._counts_cached = counts_cached
        self._prefix = prefix
        self._started = 0
        self._clock = clock
        self._epoch = clock()

    @property
    def used_up(self) -> str:
        """Which limit is, in one line; empty while none is."""
        limits, spent = self.budget, total(self.usage.values())
        if limits.calls is not None and self._started >= limits.calls:
            return f"{self._prefix}calls={limits.calls} is used up"
        if limits.tokens is not None and spent.tokens >= limits.tokens:
            return f"{self._prefix}tokens={limits.tokens} is used up ({spent.tokens} spent)"
        if limits.cost is not None and spent.cost is None:
            setting = f"{self._prefix}cost"
            return f"{setting} is set, but a call had no known price: unset it or pick a priced model"
        if limits.cost is not None and spent.cost and spent.cost >= limits.cost:
            return f"{self._prefix}cost={limits.cost:g} USD is used up ({spent.cost:.6g} spent)"
        if limits.seconds is not None and self._clock() - self._epoch >= limits.seconds:
            return f"{self._prefix}seconds={limits.seconds} is used up"
        return ""

    def reserve(self) -> None:
        """Ask for one more model call.

        Raises:
            BudgetExceeded: a limit is used up; the message names it.
        """
        if limit := self.used_up:
            raise BudgetExceeded(limit)
        if self._within is not None:
            try:
                self._within.reserve()
            except BudgetExceeded as limit:
                self.cut_off = str(limit)
                raise
        self._started += 1

    def charge(self, role: Role, usage: Usage, cached: bool = False) -> None:
        """Count a call."""
        if self._counts_cached or not cached:
            self.usage = add_by_role(self.usage, {role: usage})
        if self._within is not None:
            self._within.charge(role, usage, cached)

    def child(self) -> Meter:
        """The account of a part of the tree; it has no limits but this meter's and the turns of an agent."""
        return Meter(Budget(turns=self.budget.turns, depth=self.budget.depth), within=self)

    def go_on(self, usage: UsageByRole, seconds: float) -> None:
        """Begin with what an earlier process consumed for the same work, in as many elapsed seconds."""
        self._epoch -= seconds
        self._take_over(usage)

    def _take_over(self, usage: UsageByRole) -> None:
        self._started += total(usage.values()).calls
        if self._counts_cached:
            self.usage = add_by_role(self.usage, usage)
        if self._within is not None:
            self._within._take_over(usage)
