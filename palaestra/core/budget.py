"""Limits over a whole call tree, and the meter that every node of the tree charges."""

from __future__ import annotations

import time
from collections.abc import Callable

from pydantic import Field

from palaestra.core.errors import BudgetExceeded
from palaestra.core.record import Record
from palaestra.core.usage import Role, Usage, add_by_role, total


class Budget(Record):
    """Limits of one trajectory and of everything it starts. None is unlimited."""

    turns: int | None = Field(default=30, ge=1)
    """Turns of each agent in the tree."""
    calls: int | None = Field(default=None, ge=1)
    """Model calls, over the tree."""
    tokens: int | None = Field(default=None, ge=1)
    """Tokens in and out, over the tree."""
    cost: float | None = Field(default=None, ge=0)
    """US dollars, over the tree. A call of unknown price ends the run when this is set."""
    seconds: float | None = Field(default=None, gt=0)
    """Elapsed seconds since the root started."""


class Meter:
    """Counts what a call tree consumed against one budget. Parents and children share the object.

    `reserve` is called before a model call and `charge` after it, so that the calls in flight are
    the only ones by which a limit on calls, tokens or cost can be passed; calls themselves never are.
    """

    def __init__(self, budget: Budget, clock: Callable[[], float] = time.monotonic) -> None:
        self.budget = budget
        self.usage: dict[Role, Usage] = {}
        self._started = 0
        self._clock = clock
        self._epoch = clock()

    def reserve(self) -> None:
        """Ask for one more model call.

        Raises:
            BudgetExceeded: a limit is used up; the message names it.
        """
        limits, spent = self.budget, total(self.usage.values())
        if limits.calls is not None and self._started >= limits.calls:
            raise BudgetExceeded(f"budget.calls={limits.calls} is used up")
        if limits.tokens is not None and spent.tokens >= limits.tokens:
            raise BudgetExceeded(f"budget.tokens={limits.tokens} is used up ({spent.tokens} spent)")
        if limits.cost is not None and spent.cost is None:
            raise BudgetExceeded(
                "budget.cost is set, but a call had no known price: unset it or pick a priced model"
            )
        if limits.cost is not None and spent.cost is not None and spent.cost >= limits.cost:
            raise BudgetExceeded(f"budget.cost={limits.cost} USD is used up ({spent.cost:.4f} spent)")
        if limits.seconds is not None and self._clock() - self._epoch >= limits.seconds:
            raise BudgetExceeded(f"budget.seconds={limits.seconds} is used up")
        self._started += 1

    def charge(self, role: Role, usage: Usage) -> None:
        self.usage = add_by_role(self.usage, {role: usage})
