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
        self._orders: dict[str, tuple[int, list[Task]]] = {}
        """The order of each family's latest epoch, with the seed that it was made from."""

    def batch(self, step: int, attempt: int = 0) -> list[Task]:
        """The tasks of a step (steps count from 1), families in turn: their counts differ by one at most.

        A later attempt for the same step walks through the tasks in another order.
        """
        first = (step - 1) * self._batch_size
        return [self._draw(index, attempt) for index in range(first, first + self._batch_size)]

    def _draw(self, index: int, attempt: int) -> Task:
        family = self._names[index % len(self._names)]
        epoch, position = divmod(index // len(self._names), len(self._families[family]))
        attempts = (attempt,) if attempt else ()
        return self._order(family, derive_seed(self._seed, family, epoch, *attempts))[position]

    def _order(self, family: str, seed: int) -> list[Task]:
        known, tasks = self._orders.get(family, (None, []))
        if known != seed:
            tasks = list(self._families[family])
            random.Random(seed).shuffle(tasks)
            self._orders[family] = seed, tasks
        return tasks
