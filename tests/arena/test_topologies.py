"""Laws that every topology keeps, and the numbers of each."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from palaestra.arena.topologies.adaptive import AdaptiveConfig
from palaestra.arena.topologies.base import Outcome, Pairing, Topology
from palaestra.arena.topologies.design import regular_graph
from palaestra.arena.topologies.double_elimination import DoubleEliminationConfig
from palaestra.arena.topologies.halving import HalvingConfig
from palaestra.arena.topologies.oneshot import OneshotConfig
from palaestra.arena.topologies.registry import (
    AnyTopologyConfig,
    TopologyName,
    call_count,
    match_count,
    topology,
)
from palaestra.arena.topologies.round_robin import RoundRobinConfig
from palaestra.arena.topologies.single_elimination import SingleElimination, standard_order
from palaestra.arena.topologies.swiss import SwissConfig

ALL: Sequence[TopologyName] = get_args(TopologyName)
BUDGETED: Sequence[TopologyName] = ("oneshot", "adaptive", "halving")
CLASSICAL = [name for name in ALL if name not in BUDGETED]
SEEDLESS = [name for name in CLASSICAL if name != "swiss"]
"""Those in which the seed decides on nothing but who is named first, and on ties."""
EXACT = [*CLASSICAL[:2], *BUDGETED]
"""Those that find the whole order when points are exact."""

law = settings(max_examples=60, deadline=None)
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
    rivals = count - 1
    closed_form = {
        "round-robin": count * rivals // 2,
        "anchor": rivals,
        "single-elimination": 2 * rivals,
        "double-elimination": 3 * rivals,
        "swiss": min(rivals, rivals.bit_length()) * (count // 2),
        "oneshot": min(4 * rivals, count * rivals),
        "adaptive": min(4 * rivals, count * rivals),
        "halving": min(4 * rivals, count * rivals),
    }
    assert len(played) == match_count(name, count) == closed_form[name]
    assert len(set(played)) == len(played)
    assert sum(standing.comparisons for standing in board.ranking().standings) == 2 * len(played)


@law
@given(any_topology, sizes, seeds, seeds)
def test_everyone_is_placed_by_competition_ranks(
    name: TopologyName, count: int, seed: int, luck: int
) -> None:
    board = topology(name, names(count), seed)
    play(board, noisy(luck, failures=0.2))
    ranks = [standing.rank for standing in board.ranking().standings]
    assert {standing.contestant for standing in board.ranking().standings} == set(names(count))
    assert ranks == [sum(other < rank for other in ranks) for rank in ranks]


@law
@given(any_topology, sizes, seeds, seeds, st.randoms(use_true_random=False))
def test_the_order_of_arrival_leaves_no_trace(
    name: TopologyName, count: int, seed: int, luck: int, arrival: random.Random
) -> None:
    first, second = topology(name, names(count), seed), topology(name, names(count), seed)
    matches = play(first, noisy(luck, failures=0.1))
    assert set(matches) == set(play(second, noisy(luck, failures=0.1), arrival))
    assert first.ranking() == second.ranking()


@law
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


@law
@given(st.sampled_from(SEEDLESS), sizes, seeds, st.randoms(use_true_random=False))
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


@law
@given(any_topology, sizes, seeds, st.randoms(use_true_random=False))
def test_without_noise_the_best_is_first(
    name: TopologyName, count: int, seed: int, shuffle: random.Random
) -> None:
    strengths = dict(zip(names(count), shuffle.sample(range(1000), count), strict=True))
    board = topology(name, names(count), seed)
    play(board, by_strength(strengths))
    order = [standing.contestant for standing in board.ranking().standings]
    assert order[0] == max(strengths, key=strengths.__getitem__)
    if name in EXACT:
        assert order == sorted(strengths, key=strengths.__getitem__, reverse=True)


@law
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


@law
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


@law
@given(st.integers(min_value=1, max_value=33), st.booleans(), seeds, st.sampled_from(["anchor", "lot"]))
def test_two_defeats_and_no_fewer_are_out(count: int, reset: bool, luck: int, seeding: str) -> None:
    config = DoubleEliminationConfig.model_validate({"seeding": seeding, "reset": reset})
    board = topology(config, names(count), luck)
    defeats: Counter[str] = Counter()
    outcome = noisy(luck)

    def no_draws(pairing: Pairing) -> Outcome:
        points = outcome(pairing)
        assert points is not None
        first_wins = points.first >= points.second
        if pairing.stage != "seeding":
            assert max(defeats[pairing.first], defeats[pairing.second]) < 2
            defeats[pairing.second if first_wins else pairing.first] += 1
        return Outcome(float(first_wins), float(not first_wins))

    played = play(board, no_draws)
    assert len(played) <= board.match_count
    champion = board.ranking().standings[0].contestant
    finals = [pairing for pairing in played if pairing.stage.endswith("final")]
    if count > 1:
        assert all(defeats[name] == 2 for name in names(count) if name not in finals[-1][1:])
        assert champion in finals[-1][1:]
        assert not reset or defeats[champion] < 2
        assert len(finals) == 1 or reset


def test_double_elimination_by_hand() -> None:
    """Four, seeded by lot. The strongest two meet in the winners' final, and again in the final."""
    strengths = by_strength({"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0})
    for seed in range(10):
        board = topology(DoubleEliminationConfig(seeding="lot"), list("abcd"), seed)
        stages = Counter(pairing.stage for pairing in play(board, strengths))
        assert stages == {
            "winners' round 1": 2,
            "winners' round 2": 1,
            "losers' round 1": 1,
            "losers' round 2": 1,
            "final": 1,
        }
        assert list(board.ranking().ranks) == list("abcd")


def test_the_second_final_decides_when_the_first_is_the_winners_only_defeat() -> None:
    board = topology(DoubleEliminationConfig(seeding="lot", reset=True), ["a", "b"])
    wins = {"winners' round 1": "a", "final": "b", "second final": "b"}

    def outcome(pairing: Pairing) -> Outcome:
        first_wins = pairing.first == wins[pairing.stage]
        return Outcome(float(first_wins), float(not first_wins))

    assert [pairing.stage for pairing in play(board, outcome)] == list(wins)
    assert board.ranking().ranks == {"b": 0, "a": 1}


def test_brackets_overlap() -> None:
    """The losers of a first round meet as soon as both are known, while the winners' bracket goes on."""
    board = topology(DoubleEliminationConfig(seeding="lot"), names(8))
    first_round = board.ready()
    for pairing in (first_round[0], first_round[-1]):  # first against last seed, fourth against fifth
        board.record(pairing, Outcome(1, 0))
    assert {pairing.stage for pairing in board.ready()} == {"winners' round 2", "losers' round 1"}


@settings(max_examples=40, deadline=None)
@given(st.integers(min_value=2, max_value=40), seeds)
def test_swiss_has_no_rematch_and_no_second_bye(count: int, luck: int) -> None:
    board = topology("swiss", names(count), luck)
    played = play(board, noisy(luck, failures=0.1))
    pairs = [frozenset(pairing[1:]) for pairing in played]
    assert len(set(pairs)) == len(pairs)
    rounds = max(int(pairing.stage.split()[-1]) for pairing in played)
    met = Counter(name for pair in pairs for name in pair)
    byes = [rounds - met[name] for name in names(count)]
    assert max(byes) <= 1
    assert sum(byes) == (rounds if count % 2 else 0)
    times_first = Counter(pairing.first for pairing in played)
    uneven = [abs(2 * times_first[name] - met[name]) for name in names(count)]
    assert max(uneven) <= 3
    assert sum(uneven) <= 1.5 * count


@law
@given(st.integers(min_value=2, max_value=12), seeds)
def test_swiss_pairs_equals(count: int, luck: int) -> None:
    """In the second round nobody who won meets one who lost, but for one pair where the numbers are odd."""
    board = topology("swiss", names(2 * count), luck)
    first_round = board.ready()
    for pairing in first_round:
        board.record(pairing, Outcome(1, 0))
    winners = {pairing.first for pairing in first_round}
    mixed = [
        pairing for pairing in board.ready() if (pairing.first in winners) != (pairing.second in winners)
    ]
    assert len(mixed) == count % 2


@settings(max_examples=20, deadline=None)
@given(st.integers(min_value=2, max_value=6), seeds)
def test_swiss_with_as_many_rounds_as_rivals_is_a_round_robin(half: int, luck: int) -> None:
    """Every pair meets, or a rematch was unavoidable: the tournament always ends."""
    board = topology(SwissConfig(rounds=100), names(2 * half), luck)
    assert len(play(board, noisy(luck))) == half * (2 * half - 1)


def test_swiss_by_hand() -> None:
    """Two of four win both rounds or lose both; the others are told apart by their opponents."""
    board = topology("swiss", list("abcd"), seed=0)
    play(board, by_strength({"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0}))
    standings = board.ranking().standings
    assert [standing.contestant for standing in standings][0::3] == ["a", "d"]
    assert [standing.score for standing in standings] == [1.0, 0.5, 0.5, 0.0]


@law
@given(st.integers(min_value=1, max_value=40), st.integers(min_value=0, max_value=200))
def test_regular_graphs_are_regular(nodes: int, wanted: int) -> None:
    edges = regular_graph(nodes, wanted)
    assert len(edges) == min(wanted, nodes * (nodes - 1)) == len(set(edges))
    degree = Counter(node for edge in edges for node in edge)
    first = Counter(edge[0] for edge in edges)
    degrees = [degree[node] for node in range(nodes)]
    assert max(degrees) - min(degrees) <= 2
    assert all(abs(2 * first[node] - degree[node]) <= 2 for node in range(nodes))
    if len(edges) <= nodes * (nodes - 1) // 2:
        assert len({frozenset(edge) for edge in edges}) == len(edges)
    if wanted >= nodes:
        reached = {0}
        while more := {b for a, b in edges if a in reached} | {a for a, b in edges if b in reached} - reached:
            if more <= reached:
                break
            reached |= more
        assert len(reached) == nodes


@law
@given(st.sampled_from(BUDGETED), st.integers(min_value=2, max_value=20), st.integers(1, 120), seeds)
def test_a_budget_is_kept_and_used(name: TopologyName, count: int, budget: int, luck: int) -> None:
    config = topology_named(name, budget=budget)
    board = topology(config, names(count), luck)
    assert board.orders == "one"
    calls = play(board, noisy(luck, failures=0.1))
    assert len(calls) == call_count(config, count) == min(budget, count * (count - 1))
    asked = Counter(pairing[1:] for pairing in calls)
    if name != "halving":
        assert set(asked.values()) == {1}
    if budget <= count * (count - 1) // 2 and name != "halving":
        assert len({frozenset(pair) for pair in asked}) == budget


def test_calls_are_counted_as_they_are_asked() -> None:
    assert (
        call_count("single-elimination", 16) == call_count("oneshot", 16) == call_count("halving", 16) == 60
    )
    assert call_count("swiss", 16, "one") == 32
    assert call_count("oneshot", 16, "both") == 60


@law
@given(st.integers(min_value=3, max_value=20), seeds, st.integers(min_value=2, max_value=4))
def test_adaptive_goes_on_while_the_latest_calls_are_under_way(count: int, luck: int, load: int) -> None:
    """After the opening as many calls as there are contestants may be under way at once, to the end."""
    board = topology(AdaptiveConfig(budget=load * count), names(count), luck)
    outcome = noisy(luck)
    under_way, left = list(board.ready()), board.match_count
    while under_way:
        assert len(under_way) >= min(count, left)
        board.record(under_way[0], outcome(under_way.pop(0)))
        left -= 1
        under_way += board.ready()


def test_adaptive_asks_about_those_who_are_hard_to_tell_apart() -> None:
    """Six contestants of which two are equal and the others far apart."""
    strengths = {"c0": 9.0, "c1": 7.5, "c2": 6.0, "c3": 4.5, "c4": 1.0, "c5": 1.0}
    luck = random.Random(0)

    def blurred(pairing: Pairing) -> Outcome:
        first, second = (strengths[name] + luck.gauss(0, 0.5) for name in pairing[1:])
        return Outcome(first, second)

    asked: Counter[frozenset[str]] = Counter()
    for seed in range(20):
        for pairing in play(topology(AdaptiveConfig(budget=13), names(6), seed), blurred):
            asked[frozenset(pairing[1:])] += pairing.stage != "opening"
    assert asked[frozenset(("c4", "c5"))] > asked[frozenset(("c0", "c5"))]


def test_halving_spends_the_second_half_on_the_best() -> None:
    strengths = {name: float(place) / 4 for place, name in enumerate(names(16))}
    board = topology(HalvingConfig(), names(16), seed=3)
    calls = play(board, by_strength(strengths))
    late = Counter(name for pairing in calls if pairing.stage == "batch 3" for name in pairing[1:])
    assert set(late) <= {"c12", "c13", "c14", "c15"}
    both_ways = Counter(frozenset(pairing[1:]) for pairing in calls if pairing.stage == "batch 2")
    assert set(both_ways.values()) == {2}


@law
@given(st.sampled_from(CLASSICAL), st.integers(min_value=2, max_value=12), seeds)
def test_reranking_asks_nothing_more_and_ranks_by_the_posterior(name: str, count: int, luck: int) -> None:
    plain, reranked = topology_named(name), topology_named(name, rerank="posterior")
    boards = [topology(each, names(count), luck) for each in (plain, reranked)]
    calls = [play(board, noisy(luck, failures=0.1)) for board in boards]
    assert calls[0] == calls[1]
    before, after = (board.ranking() for board in boards)
    assert before.undecided == after.undecided
    assert sum(standing.score for standing in after.standings) == pytest.approx(0, abs=1e-6)
    scores = [standing.score for standing in after.standings]
    assert all(one >= other for one, other in pairwise(scores))
    if sum(standing.comparisons for standing in after.standings):
        assert all(standing.standard_error for standing in after.standings)


def topology_named(name: str, **config: str | int) -> AnyTopologyConfig:
    return TypeAdapter[AnyTopologyConfig](AnyTopologyConfig).validate_python({"name": name, **config})


def test_more_comparisons_make_surer() -> None:
    strengths = by_strength({"a": 6.0, "b": 5.0, "c": 4.0})
    errors = []
    for budget in (2, 6):
        board = topology(OneshotConfig(budget=budget), list("abc"))
        play(board, strengths)
        errors.append(max(standing.standard_error or 0 for standing in board.ranking().standings))
    assert errors[1] < errors[0]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_without_any_verdict_nothing_is_claimed(name: TopologyName, count: int) -> None:
    board = topology(name, names(count), seed=1)
    played = play(board, lambda _: None)
    ranking = board.ranking()
    assert ranking.undecided == len(played)
    assert all(standing.comparisons == 0 for standing in ranking.standings)
    assert all(standing.standard_error is None for standing in ranking.standings) or name == "swiss"


def test_a_reranked_round_robin_is_configured_by_a_mapping() -> None:
    assert topology_named("round-robin", rerank="posterior") == RoundRobinConfig(rerank="posterior")
