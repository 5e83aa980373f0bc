"""Posteriors over worth: against oracles, in whatever order comparisons come, and as good as they claim."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import choix
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.arena.ratings.bradley_terry import rate_winners
from palaestra.arena.ratings.comparison import Comparison, Comparisons
from palaestra.arena.ratings.posterior import Posterior
from palaestra.arena.ratings.rate import rate, reliability

SIZE = 5

points = st.integers(min_value=0, max_value=20).map(lambda halves: halves / 2)
winner = st.sampled_from([(10.0, 0.0), (5.0, 5.0), (0.0, 10.0)])
seats = st.permutations(range(SIZE)).map(lambda order: (order[0], order[1]))
scored = st.builds(
    lambda pair, s, t, orders: Comparison(pair[0], pair[1], s, t, orders),
    seats,
    points,
    points,
    st.sampled_from([1, 2]),
)
decided = st.builds(lambda pair, given: Comparison(pair[0], pair[1], given[0], given[1], 1), seats, winner)
any_comparisons = st.one_of(st.lists(scored, max_size=12), st.lists(decided, max_size=12))


def draw(
    random: np.random.Generator, worth: Sequence[float], calls: int, noise: float, bias: float = 0.0
) -> list[Comparison]:
    """Calls on random pairs, each with a shift of both scores."""
    comparisons = []
    for _ in range(calls):
        first, second = random.choice(len(worth), size=2, replace=False)
        shift, *errors = random.normal(0, [1.0, noise, noise])
        comparisons.append(
            Comparison(
                int(first),
                int(second),
                5 + worth[first] + bias + shift + errors[0],
                5 + worth[second] + shift + errors[1],
                1,
            )
        )
    return comparisons


@settings(deadline=None)
@given(any_comparisons, st.randoms(use_true_random=False))
def test_the_order_of_comparisons_leaves_no_trace(
    comparisons: list[Comparison], shuffle: random.Random
) -> None:
    once, again = rate(comparisons, SIZE), rate(shuffle.sample(comparisons, len(comparisons)), SIZE)
    assert np.array_equal(once.mean_N, again.mean_N)
    assert np.array_equal(once.covariance_NN, again.covariance_NN)


@settings(deadline=None)
@given(any_comparisons, st.permutations(range(SIZE)))
def test_seats_mean_nothing(comparisons: list[Comparison], seat: Sequence[int]) -> None:
    moved = [each._replace(first=seat[each.first], second=seat[each.second]) for each in comparisons]
    before, after = rate(comparisons, SIZE), rate(moved, SIZE)
    assert after.mean_N[list(seat)] == pytest.approx(before.mean_N, abs=1e-8)
    assert after.beats_NN[np.ix_(seat, seat)] == pytest.approx(before.beats_NN, abs=1e-6)


@settings(deadline=None)
@given(any_comparisons)
def test_probabilities_are_probabilities(comparisons: list[Comparison]) -> None:
    posterior = rate(comparisons, SIZE)
    assert posterior.mean_N.sum() == pytest.approx(0, abs=1e-8)
    assert posterior.beats_NN + posterior.beats_NN.T == pytest.approx(np.ones((SIZE, SIZE)))
    assert posterior.best_N.sum() == pytest.approx(1)
    assert 0 <= posterior.misordered <= SIZE * (SIZE - 1) / 4 + 1e-9


def test_bradley_terry_is_choixs_maximum_a_posteriori() -> None:
    """In both orders there is no position effect to fit; choix's penalty is half the precision."""
    luck = random.Random(3)
    pairs = [luck.sample(range(6), 2) for _ in range(30)]
    comparisons = [Comparison(first, second, 10.0, 0.0, 2) for first, second in pairs]
    wins = [(first, second) for first, second in pairs for _ in range(2)]
    ours = rate_winners(Comparisons.of(comparisons), 6, np.array([0.4]))
    assert ours.mean_N == pytest.approx(choix.opt_pairwise(6, wins, alpha=0.2, tol=1e-10), abs=1e-4)


def test_bradley_terrys_covariance_is_near_that_of_expectation_propagation() -> None:
    luck = random.Random(4)
    pairs = [luck.sample(range(5), 2) for _ in range(40)]
    comparisons = [Comparison(first, second, 10.0, 0.0, 2) for first, second in pairs]
    wins = [(first, second) for first, second in pairs for _ in range(2)]
    ours = rate_winners(Comparisons.of(comparisons), 5, np.array([1.0]))
    mean, covariance = choix.ep_pairwise(5, wins, alpha=1.0, model="logit")
    centre = np.eye(5) - 1 / 5
    assert ours.mean_N == pytest.approx(centre @ mean, abs=0.1)
    assert ours.covariance_NN == pytest.approx(centre @ covariance @ centre, abs=0.02)


def test_a_tie_is_half_a_win_for_either() -> None:
    tied = rate([Comparison(0, 1, 5.0, 5.0, 1), Comparison(1, 0, 5.0, 5.0, 1)], 2)
    shared = rate([Comparison(0, 1, 10.0, 0.0, 1), Comparison(1, 0, 10.0, 0.0, 1)], 2)
    assert tied.mean_N == pytest.approx([0, 0], abs=1e-9)
    assert shared.mean_N == pytest.approx([0, 0], abs=1e-9)


def test_many_exact_scores_are_found_again() -> None:
    worth = [3.0, 1.0, 0.0, -1.5, -2.5]
    posterior = rate(draw(np.random.default_rng(0), worth, 2000, noise=0.5, bias=1.0), SIZE)
    assert posterior.mean_N == pytest.approx(worth, abs=0.1)
    assert posterior.noise == pytest.approx(2 * 0.5**2, rel=0.3)
    assert posterior.best_N[0] > 0.99


def test_a_position_effect_is_not_taken_for_worth() -> None:
    """Contestant 0 is always shown first, and whoever is first gets two points more than it deserves."""
    seen_first = [Comparison(0, other, 7.0, 5.0, 1) for other in range(1, 5)]
    others = [Comparison(a, b, 7.0, 5.0, 1) for a in range(1, 5) for b in range(1, 5) if a != b]
    posterior = rate(seen_first + others, SIZE)
    naive = 2 * 4 / 5
    assert 0 <= posterior.mean_N[0] < naive / 2


def test_both_orders_leave_a_position_effect_out() -> None:
    over_both = rate([Comparison(0, 1, 6.0, 5.0, 2)] * 3, 2)
    in_one = rate([Comparison(0, 1, 6.0, 5.0, 1)] * 6, 2)
    assert over_both.mean_N[0] > 1.3 * in_one.mean_N[0] > 0


@pytest.mark.parametrize("noise", [0.5, 2.0])
def test_what_is_claimed_is_kept(noise: float) -> None:
    """Over many groups, standard scores are standard, and pairs are misordered as often as expected."""
    draws = np.random.default_rng(7)
    squares, expected, misordered = [], 0.0, 0
    for _ in range(200):
        worth = draws.normal(size=8)
        posterior = rate(draw(draws, worth.tolist(), 24, noise, bias=0.5), 8)
        squares.append(
            np.mean(((posterior.mean_N - (worth - worth.mean())) / posterior.standard_deviation_N) ** 2)
        )
        expected += posterior.misordered
        gap = np.subtract.outer(worth, worth) * np.subtract.outer(posterior.mean_N, posterior.mean_N)
        misordered += int((gap < 0).sum()) // 2
    assert np.mean(squares) == pytest.approx(1, abs=0.25)
    assert expected == pytest.approx(misordered, rel=0.15)


def test_what_one_more_call_will_tell_is_known_beforehand() -> None:
    """With the mixture down to one noise level, asking a pair shrinks the covariance as its answer would."""
    comparisons = [
        Comparison(0, 1, 10.0, 0.0, 2),
        Comparison(1, 2, 0.0, 10.0, 2),
        Comparison(2, 3, 5.0, 5.0, 2),
    ]
    before = rate(comparisons, 4)
    foreseen = before.after(0, 3)
    assert np.array_equal(foreseen.mean_N, before.mean_N)
    old, new = before.difference_deviation_NN[0, 3] ** 2, foreseen.difference_deviation_NN[0, 3] ** 2
    assert 1 / new == pytest.approx(1 / old + 1 / before.noise)


def test_the_probability_of_two_is_that_of_a_normal_difference() -> None:
    posterior = Posterior(np.array([0.5, -0.5]), np.array([[0.25, -0.25], [-0.25, 0.25]]), 1.0)
    assert posterior.beats_NN[0, 1] == pytest.approx(0.5 + 0.5 * math.erf(1 / math.sqrt(2)))
    assert posterior.best_N[0] == pytest.approx(posterior.beats_NN[0, 1], abs=0.02)
    assert posterior.misordered == pytest.approx(posterior.beats_NN[1, 0])


def test_scores_that_say_nothing_are_not_reliable() -> None:
    assert reliability([1.0, -1.0], [0.0, 0.0]) == 1.0
    assert reliability([0.0, 0.0], [1.0, 1.0]) == 0.0
    assert reliability([1.0, -1.0], [1.0, 1.0]) == 0.5


def test_nothing_is_known_without_comparisons() -> None:
    posterior = rate([], 3)
    assert posterior.mean_N.tolist() == [0, 0, 0]
    assert posterior.misordered == pytest.approx(1.5)
