"""The hidden utility, on a city small enough to compute by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.datasets.trip.city import City, Place
from palaestra.datasets.trip.family import TRIP
from palaestra.datasets.trip.plan import Stop, parse_plan, render_plan
from palaestra.datasets.trip.request import Request
from palaestra.datasets.trip.utility import NOTHING, assess

MUSEUM = Place("Old Museum", "museum", (0, 0), price=10, opens=600, closes=960, visit=90)
PARK = Place("East Park", "park", (2, 1), price=0, opens=480, closes=1200, visit=60)
DINER = Place("Near Diner", "food", (0, 0), price=15, opens=720, closes=1080, visit=60)
CITY = City({place.name: place for place in (MUSEUM, PARK, DINER)})
REQUEST = Request(party="couple", start=540, end=1080, budget=40, wishes=("museum", "park"), pace="slow")


def test_a_plan_that_can_be_walked() -> None:
    found = assess(CITY, REQUEST, [Stop(600, "Old Museum"), Stop(750, "East Park"), Stop(870, "Near Diner")])
    # the park is two districts away: 11:30 + 1 h = 12:30; the diner again one hour: 13:30 + 1 h = 14:30
    assert tuple(found) == pytest.approx((1.0, 1.0, 1.0, 2 - 50 / 40, 1 - 120 / 180))
    assert found.utility == pytest.approx(0.4 + 0.2 + 0.2 * 0.75 + 0.2 / 3)


@pytest.mark.parametrize(
    ("stop", "why"),
    [
        (Stop(570, "Old Museum"), "not open yet"),
        (Stop(900, "Old Museum"), "closes during the visit"),
        (Stop(600, "Lost Museum"), "no such place"),
        (Stop(1050, "East Park"), "the day ends during the visit"),
        (Stop(510, "East Park"), "before the day starts"),
    ],
)
def test_a_stop_that_cannot_be_made_counts_for_nothing(stop: Stop, why: str) -> None:
    assert assess(CITY, REQUEST, [stop]) == NOTHING, why


def test_the_walk_goes_on_after_an_impossible_stop() -> None:
    found = assess(CITY, REQUEST, [Stop(600, "Old Museum"), Stop(690, "East Park"), Stop(720, "Near Diner")])
    assert found.feasibility == pytest.approx(2 / 3)
    assert found.coverage == 0.5


def test_the_same_place_twice_is_made_once() -> None:
    assert assess(CITY, REQUEST, [Stop(540, "East Park"), Stop(600, "East Park")]).feasibility == 0.5


def test_no_plan_is_worth_nothing() -> None:
    task = TRIP.tasks(1, "train")[0]
    assert TRIP.utility(task, "") == TRIP.utility(task, "I would rather not.") == 0.0


@given(
    st.lists(
        st.tuples(st.integers(0, 47).map(lambda half: half * 30), st.sampled_from(list(TRIP.city.places)))
    )
)
def test_plans_survive_rendering_and_utilities_stay_in_range(stops: list[tuple[int, str]]) -> None:
    plan = [Stop(*stop) for stop in stops]
    assert parse_plan(render_plan(plan)) == plan
    for task in TRIP.tasks(3, "train"):
        assert all(0 <= part <= 1 for part in TRIP.assess(task, render_plan(plan)))


def test_plans_are_read_out_of_prose() -> None:
    text = "Here is your day:\n\n- **10:00** Old Museum\n* 9:30 – East Park  \nEnjoy!"
    assert parse_plan(text) == [Stop(600, "Old Museum"), Stop(570, "East Park")]
    assert parse_plan("10:00\n11:00 East Park") == [Stop(660, "East Park")]
