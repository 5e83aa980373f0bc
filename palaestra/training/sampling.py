"""Which tasks each training step works on."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

from palaestra.core.record import derive_seed
from palaestra.core.task import Task


class TaskSampler:
    """Batches balanced over families: each family's tasks are walked through in a new order every epoch.

    A pure function of the step, so that the data position of a resumed run is its step and nothing else.
    """

    def __init__(self, tasks: Sequence[Task], batch_size: int, seed: int) -> None:
        self._families: dict[str, list[Task]] = defaultdict(list)
        for task in tasks:
            self._families[task.family].append(task)
        self._names = sorted(self._families)
        self._batch_size = batch_size
        self._seed = seed
        self._orders: dict[tuple[str, int], list[Task]] = {}
        """The order of each family's latest epoch."""

    def batch(self, step: int) -> list[Task]:
        """The tasks of a step (steps count from 1), families in turn: their counts differ by one at most."""
        first = (step - 1) * self._batch_size
        return [self._draw(index) for index in range(first, first + self._batch_size)]

    def _draw(self, index: int) -> Task:
        family = self._names[index % len(self._names)]
        epoch, position = divmod(index // len(self._names), len(self._families[family]))
        return self._order(family, epoch)[position]

    def _order(self, family: str, epoch: int) -> list[Task]:
        if (family, epoch) not in self._orders:
            tasks = list(self._families[family])
            random.Random(derive_seed(self._seed, family, epoch)).shuffle(tasks)
            self._orders = {key: order for key, order in self._orders.items() if key[0] != family}
            self._orders[family, epoch] = tasks
        return self._orders[family, epoch]
