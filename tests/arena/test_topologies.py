"""Laws that every topology keeps, and the numbers of each."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.arena.topologies.base import Outcome, Pairing, Topology
from palaestra.arena.topologies.registry import TopologyName, match_count, topology
from palaestra.arena.topologies.single_elimination import SingleElimination, standard_order

ALL: Sequence[TopologyName] = ("round-robin", "anchor", "single-elimination")

any_topology = st.sampled_from(ALL)
sizes = st.integers(min_value=1, max_value=19)
seeds = st.integers(min_value=0, max_value=2**32)


def names(count: int) -> list[str]:
    return [f"c{number}" for number in range(count)]


def play(
    board: Topology, outcome: Callable[[Pairing], Outcome | None], arrival: random.Random | None = None
) -> list[Pairing]:
    """Play to the end; with `arrival`, outcomes come in at random. Gives the matches as they were played."""
    under_way, played = list(board.ready()), []
    while under_way:
        pairing = under_way.pop(arrival.randrange(len(under_way)) if arrival else 0)
        board.record(pairing, outcome(pairing))
        played.append(pairing)
        under_way += board.ready()
    return played


def by_strength(strengths: Mapping[str, float]) -> Callable[[Pairing], Outcome]:
    """A judge without noise: the points are the strengths."""
    return lambda pairing: Outcome(strengths[pairing.first], strengths[pairing.second])


def noisy(seed: int, failures: float = 0.0) -> Callable[[Pairing], Outcome | None]:
    """Coarse points, with draws, that follow from the pairing alone, whenever it is asked."""

    def outcome(pairing: Pairing) -> Outcome | None:
        draw = random.Random(f"{seed} {pairing}")
        return None if draw.random() < failures else Outcome(draw.randint(3, 7), draw.randint(3, 7))

    return outcome


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("count", range(1, 18))
def test_match_counts_are_the_closed_forms(name: TopologyName, count: int) -> None:
    board = topology(name, names(count))
    played = play(board, noisy(0))
    closed_form = {
        "round-robin": count * (count - 1) // 2,
        "anchor": count - 1,
        "single-elimination": 2 * (count - 1),
    }
    assert len(played) == match_count(name, count) == closed_form[name]
    assert len(set(played)) == len(played)
    assert sum(standing.comparisons for standing in board.ranking().standings) == 2 * len(played)


@given(any_topology, sizes, seeds, seeds)
def test_everyone_is_placed_by_competition_ranks(
    name: TopologyName, count: int, seed: int, luck: int
) -> None:
    board = topology(name, names(count), seed)
    play(board, noisy(luck, failures=0.2))
    ranks = [standing.rank for standing in board.ranking().standings]
    assert {standing.contestant for standing in board.ranking().standings} == set(names(count))
    assert ranks == [sum(other < rank for other in ranks) for rank in ranks]


@given(any_topology, sizes, seeds, seeds, st.randoms(use_true_random=False))
def test_the_order_of_arrival_leaves_no_trace(
    name: TopologyName, count: int, seed: int, luck: int, arrival: random.Random
) -> None:
    first, second = topology(name, names(count), seed), topology(name, names(count), seed)
    matches = play(first, noisy(luck, failures=0.1))
    assert set(matches) == set(play(second, noisy(luck, failures=0.1), arrival))
    assert first.ranking() == second.ranking()


@given(any_topology, sizes, seeds, st.randoms(use_true_random=False))
def test_names_mean_nothing(name: TopologyName, count: int, luck: int, shuffle: random.Random) -> None:
    old = names(count)
    new = dict(zip(old, shuffle.sample(old, count), strict=True))
    back = {after: before for before, after in new.items()}
    outcome = noisy(luck, failures=0.1)

    def same_outcome(pairing: Pairing) -> Outcome | None:
        return outcome(Pairing(pairing.stage, back[pairing.first], back[pairing.second]))

    before, after = topology(name, old), topology(name, [new[contestant] for contestant in old])
    play(before, outcome)
    play(after, same_outcome)
    assert after.ranking().ranks == {new[one]: rank for one, rank in before.ranking().ranks.items()}


@given(any_topology, sizes, seeds, st.randoms(use_true_random=False))
def test_seats_and_seed_mean_nothing_where_the_points_decide(
    name: TopologyName, count: int, seed: int, shuffle: random.Random
) -> None:
    anchor, *others = names(count)
    strengths = dict(zip([anchor, *others], shuffle.sample(range(1000), count), strict=True))
    before, after = (
        topology(name, [anchor, *others], seed),
        topology(name, [anchor, *shuffle.sample(others, len(others))], seed + 1),
    )
    play(before, by_strength(strengths))
    play(after, by_strength(strengths))
    assert before.ranking().ranks == after.ranking().ranks


@given(any_topology, sizes, seeds, st.randoms(use_true_random=False))
def test_without_noise_the_best_is_first(
    name: TopologyName, count: int, seed: int, shuffle: random.Random
) -> None:
    strengths = dict(zip(names(count), shuffle.sample(range(1000), count), strict=True))
    board = topology(name, names(count), seed)
    play(board, by_strength(strengths))
    order = [standing.contestant for standing in board.ranking().standings]
    assert order[0] == max(strengths, key=strengths.__getitem__)
    if name != "single-elimination":
        assert order == sorted(strengths, key=strengths.__getitem__, reverse=True)


@given(st.integers(min_value=2, max_value=19), seeds)
def test_everyone_is_named_first_equally_often(count: int, seed: int) -> None:
    times_first = Counter(pairing.first for pairing in topology("round-robin", names(count), seed).ready())
    assert all(abs(times_first[name] - (count - 1) / 2) <= 0.5 for name in names(count))
    anchored = Counter(pairing.first for pairing in topology("anchor", names(count), seed).ready())
    assert abs(anchored["c0"] - (count - 1) / 2) <= 0.5


def test_over_many_seeds_a_pair_is_shown_in_both_orders() -> None:
    for name in ALL:
        first = Counter(topology(name, ["a", "b"], seed).ready()[0].first for seed in range(200))
        assert 70 <= first["a"] <= 130


@pytest.mark.parametrize("name", ALL)
def test_a_group_of_draws_has_no_order(name: TopologyName) -> None:
    for seed in range(5):
        board = topology(name, names(6), seed)
        play(board, lambda _: Outcome(5, 5))
        assert set(board.ranking().ranks.values()) == {0}


@pytest.mark.parametrize("name", ALL)
def test_an_outcome_counts_once_and_only_for_a_match_that_was_handed_out(name: TopologyName) -> None:
    board = topology(name, names(3))
    pairing = board.ready()[0]
    board.record(pairing, Outcome(1, 0))
    with pytest.raises(ValueError, match="has its outcome already"):
        board.record(pairing, Outcome(1, 0))
    with pytest.raises(ValueError, match="distinct contestants"):
        topology(name, ["a", "a"])


def test_a_missing_outcome_is_in_nobodys_mean() -> None:
    board = topology("anchor", names(4))
    points = {"c1": Outcome(2, 8), "c2": None, "c3": Outcome(6, 4)}

    def outcome(pairing: Pairing) -> Outcome | None:
        given = points[pairing.second if pairing.first == "c0" else pairing.first]
        return given if given is None or pairing.first == "c0" else Outcome(given.second, given.first)

    play(board, outcome)
    ranking = board.ranking()
    by_name = {standing.contestant: standing for standing in ranking.standings}
    assert ranking.undecided == 1
    assert (by_name["c0"].score, by_name["c0"].comparisons) == (4.0, 2)
    assert by_name["c0"].standard_error == pytest.approx(2.0)
    assert (by_name["c1"].score, by_name["c1"].standard_error) == (8.0, None)
    assert by_name["c2"].score == pytest.approx(16 / 3)
    assert by_name["c2"].comparisons == 0
    assert ranking.ranks == {"c1": 0, "c2": 1, "c0": 2, "c3": 2}


def test_round_robin_counts_wins_before_points() -> None:
    points = {
        frozenset("ab"): {"a": 6, "b": 5},
        frozenset("ac"): {"a": 6, "c": 5},
        frozenset("bc"): {"b": 10, "c": 0},
    }
    board = topology("round-robin", ["a", "b", "c"])

    def outcome(pairing: Pairing) -> Outcome:
        match = points[frozenset(pairing[1:])]
        return Outcome(match[pairing.first], match[pairing.second])

    play(board, outcome)
    standings = board.ranking().standings
    assert [(standing.contestant, standing.score) for standing in standings] == [
        ("a", 1.0),
        ("b", 0.5),
        ("c", 0.0),
    ]


def test_brackets_are_drawn_up_in_standard_order() -> None:
    assert standard_order(1) == [0]
    assert standard_order(4) == [0, 3, 1, 2]
    assert standard_order(16) == [0, 15, 7, 8, 3, 12, 4, 11, 1, 14, 6, 9, 2, 13, 5, 10]


@given(st.integers(min_value=2, max_value=33), seeds)
def test_byes_go_to_the_top_seeds(count: int, luck: int) -> None:
    board = SingleElimination(names(count), seed=luck)
    play(board, noisy(luck))
    byes = [
        side.seed
        for match in board.bracket.rounds[0]
        for side in (match.upper, match.lower)
        if side and None in (match.upper, match.lower)
    ]
    size = 1 << (count - 1).bit_length()
    assert sorted(byes) == list(range(1, size - count + 1))


def test_single_elimination_by_hand() -> None:
    """Five contestants. Seeds by the points of the seeding: d 9, b 8, anchor a 6.5, e 6, c 4; then byes for
    d, b and a; e beats c; d draws with e and goes on as the better seed; a beats b; d beats a."""
    seeding = {"b": (5, 8), "c": (9, 4), "d": (4, 9), "e": (8, 6)}
    bracket = {
        frozenset("ec"): {"e": 7.0, "c": 3.0},
        frozenset("de"): {"d": 5.0, "e": 5.0},
        frozenset("ab"): {"a": 6.0, "b": 2.0},
        frozenset("da"): {"d": 8.0, "a": 7.0},
    }
    board = SingleElimination(list("abcde"))

    def outcome(pairing: Pairing) -> Outcome:
        if pairing.stage == "seeding":
            other = pairing.second if pairing.first == "a" else pairing.first
            points = dict(zip(("a", other), map(float, seeding[other]), strict=True))
        else:
            points = bracket[frozenset(pairing[1:])]
        return Outcome(points[pairing.first], points[pairing.second])

    played = play(board, outcome)
    assert Counter(pairing.stage for pairing in played) == {
        "seeding": 4,
        "quarter-final": 1,
        "semi-final": 2,
        "final": 1,
    }
    assert [(standing.contestant, standing.rank) for standing in board.ranking().standings] == [
        ("d", 0),
        ("a", 1),
        ("e", 2),  # lost the semi-final with a mean of 6, b with one of 5
        ("b", 3),
        ("c", 4),
    ]
    assert [standing.score for standing in board.ranking().standings] == pytest.approx(
        [22 / 3, 39 / 6, 6.0, 5.0, 3.5]
    )


def test_a_final_without_a_verdict_goes_to_the_better_seed() -> None:
    board = SingleElimination(["anchor", "better"])
    strengths = by_strength({"anchor": 4.0, "better": 6.0})
    play(board, lambda pairing: strengths(pairing) if pairing.stage == "seeding" else None)
    ranking = board.ranking()
    assert ranking.ranks == {"better": 0, "anchor": 1}
    assert (ranking.undecided, ranking.standings[0].comparisons) == (1, 1)


def test_equal_seeds_are_ordered_by_lot_and_not_by_seat() -> None:
    """The anchor draws everyone in the seeding, then the better seed wins every match."""
    winners = set()
    for seed in range(40):
        board = SingleElimination(names(4), seed)
        play(board, lambda pairing: Outcome(5, 5) if pairing.stage == "seeding" else None)
        winners.add(board.bracket.champion)
    assert winners == set(names(4))


def test_a_match_waits_for_its_own_sides_only() -> None:
    """Eight contestants; when two neighbouring quarter-finals are over their semi-final is ready."""
    board = SingleElimination(names(8))
    strengths = {name: float(8 - place) for place, name in enumerate(names(8))}
    outcome = by_strength(strengths)
    for pairing in board.ready():
        board.record(pairing, outcome(pairing))
    quarter_finals = {frozenset(pairing[1:]): pairing for pairing in board.ready()}
    for sides, then_ready in (({"c0", "c7"}, []), ({"c2", "c5"}, []), ({"c3", "c4"}, ["semi-final"])):
        pairing = quarter_finals[frozenset(sides)]
        board.record(pairing, outcome(pairing))
        assert [pairing.stage for pairing in board.ready()] == then_ready
