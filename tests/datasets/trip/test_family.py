"""The trip family: determinism, splits, and a teacher that leaves room for improvement."""

from statistics import fmean

import pytest

from palaestra.core.errors import ConfigError
from palaestra.datasets.families import family
from palaestra.datasets.trip.city import build_city
from palaestra.datasets.trip.family import TRIP


def test_the_city_is_the_same_on_every_machine() -> None:
    city = build_city()
    assert len(city.places) == 24
    museum = city.places["Grove Museum"]
    assert (museum.district, museum.price, museum.opens, museum.closes, museum.visit) == (
        (1, 2),
        13,
        600,
        1020,
        90,
    )
    assert "Grove Museum | museum | 1,2 | 13 | 10:00 | 17:00 | 90" in city.guide()
    assert build_city(1).places != city.places


def test_tasks_follow_from_the_seed() -> None:
    assert TRIP.tasks(5, "train", seed=3) == TRIP.tasks(10, "train", seed=3)[:5]
    assert TRIP.tasks(5, "train", seed=3) != TRIP.tasks(5, "train", seed=4)


def test_no_task_is_in_both_splits() -> None:
    train = {task.id for seed in range(3) for task in TRIP.tasks(500, "train", seed)}
    held_out = {task.id for seed in range(3) for task in TRIP.tasks(500, "held-out", seed)}
    assert not train & held_out
    assert {example.task.id for example in TRIP.examples(500)} <= train | {
        t.id for t in TRIP.tasks(500, "train")
    }


def test_examples_are_plans_that_could_be_better() -> None:
    utilities = [TRIP.utility(task, answer) for task, answer in TRIP.examples(1000)]
    assert 0.4 < fmean(utilities) < 0.6
    assert max(utilities) > 0.9


def test_an_unknown_family_is_named_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"unknown task family 'trips'; there are: .*\btrip\b"):
        family("trips")


def test_more_tasks_than_there_are_is_told() -> None:
    assert len({task.id for task in TRIP.tasks(3974, "held-out")}) == 3974
    with pytest.raises(ConfigError, match="trip has 3974 held-out tasks; 3975 are asked for"):
        TRIP.tasks(3975, "held-out")
