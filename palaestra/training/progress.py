"""How the evaluations of a run went: which step was best, and whether to go on."""

from __future__ import annotations

from collections.abc import Mapping


class Progress:
    """Win rates by step. A later step is better only when its rate is higher."""

    def __init__(self, patience: int, rates: Mapping[int, float]) -> None:
        """`patience`: evaluations without a better one before training is over; 0 goes on to the end."""
        self._patience = patience
        self._rates = dict(rates)

    def add(self, step: int, rate: float) -> None:
        self._rates[step] = rate

    @property
    def last(self) -> int | None:
        """The step that was evaluated last."""
        return max(self._rates, default=None)

    @property
    def best(self) -> int | None:
        return max(sorted(self._rates), key=self._rates.__getitem__, default=None)

    @property
    def is_over(self) -> bool:
        since = sum(step > self.best for step in self._rates) if self.best is not None else 0
        return 0 < self._patience <= since
