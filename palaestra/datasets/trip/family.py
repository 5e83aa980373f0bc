"""The `trip` family: requests for a day in one synthetic city.

Open-ended: many plans are good and none is the right one, so plans are compared, not checked.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from palaestra.core.record import digest
from palaestra.core.task import Dimension, Rubric, Task
from palaestra.datasets.families import Example, Split
from palaestra.datasets.trip.city import build_city
from palaestra.datasets.trip.plan import parse_plan, render_plan
from palaestra.datasets.trip.planner import hurried_plan
from palaestra.datasets.trip.request import Request, draw_request
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
        requests = _distinct_requests(split, random.Random(f"trip {split} {seed}"))
        return [self._task(next(requests)) for _ in range(count)]

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

    def _task(self, request: Request) -> Task:
        return Task(
            id=f"trip-{digest(request.model_dump(mode='json'))[:12]}",
            family=self.name,
            prompt=request.prompt(),
            context=self._guide,
            rubric=RUBRIC,
            metadata=request.model_dump(mode="json"),
        )


def _distinct_requests(split: Split, draw: random.Random) -> Iterator[Request]:
    """Requests of one split, each once. The split is a property of the request: a fifth is held out."""
    seen: set[Request] = set()
    while True:
        request = draw_request(draw)
        held_out = int(digest(request.model_dump(mode="json"))[:8], 16) % 5 == 0
        if request not in seen and held_out == (split == "held-out"):
            seen.add(request)
            yield request


TRIP = TripFamily()
