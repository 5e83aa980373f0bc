"""The `trip` family: requests for a day in one synthetic city.

Open-ended: many plans are good and none is the right one, so plans are compared, not checked.
"""

from __future__ import annotations

import random
from functools import cache

from palaestra.core.errors import ConfigError
from palaestra.core.record import digest
from palaestra.core.task import Dimension, Rubric, Task
from palaestra.datasets.families import Example, Split
from palaestra.datasets.trip.city import build_city
from palaestra.datasets.trip.plan import parse_plan, render_plan
from palaestra.datasets.trip.planner import hurried_plan
from palaestra.datasets.trip.request import Request, all_requests
from palaestra.datasets.trip.utility import Assessment, assess

RUBRIC = Rubric(
    name="trip plan",
    instructions="A plan is one line `HH:MM Place` per stop. Judge it as the people who have to walk it.",
    dimensions=(
        Dimension(
            name="feasibility",
            description="Every stop exists, is open for the whole visit and can be reached in time.",
            weight=3,
        ),
        Dimension(
            name="coverage", description="Each wish is fulfilled by a stop that can be made.", weight=4
        ),
        Dimension(name="pace", description="As many stops as the pace asks for.", weight=2),
        Dimension(
            name="budget", description="Entrance for everybody together stays within the budget.", weight=2
        ),
        Dimension(name="travel", description="Little of the day is spent on the way.", weight=2),
    ),
)


class TripFamily:
    name = "trip"

    def __init__(self, city_seed: int = 0) -> None:
        self.city = build_city(city_seed)
        self._guide = self.city.guide()

    def tasks(self, count: int, split: Split, seed: int = 0) -> list[Task]:
        requests = list(_requests(split))
        if count > len(requests):
            raise ConfigError(f"trip has {len(requests)} {split} tasks; {count} are asked for: ask for fewer")
        random.Random(f"trip {split} {seed}").shuffle(requests)
        return [self._task(request) for request in requests[:count]]

    def examples(self, count: int, seed: int = 0) -> list[Example]:
        draw = random.Random(f"trip plans {seed}")
        return [
            Example(task, render_plan(hurried_plan(self.city, Request.model_validate(task.metadata), draw)))
            for task in self.tasks(count, "train", seed)
        ]

    def assess(self, task: Task, answer: str) -> Assessment:
        return assess(self.city, Request.model_validate(task.metadata), parse_plan(answer))

    def utility(self, task: Task, answer: str) -> float:
        return self.assess(task, answer).utility

    def remark(self, task: Task, answer: str) -> str:
        """Nothing: no plan is simply wrong."""
        return ""

    def _task(self, request: Request) -> Task:
        return Task(
            id=f"trip-{digest(request.model_dump(mode='json'))[:12]}",
            family=self.name,
            prompt=request.prompt(),
            context=self._guide,
            rubric=RUBRIC,
            metadata=request.model_dump(mode="json"),
        )


@cache
def _requests(split: Split) -> tuple[Request, ...]:
    """All requests of one split. The split is a property of the request: a fifth is held out."""
    by_digest = {digest(request.model_dump(mode="json")): request for request in all_requests()}
    return tuple(
        request
        for name, request in by_digest.items()
        if (int(name[:8], 16) % 5 == 0) == (split == "held-out")
    )


TRIP = TripFamily()
