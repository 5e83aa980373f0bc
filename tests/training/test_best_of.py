"""The best of n answers: which one it is, and what to expect of it."""

import asyncio
import math
from itertools import combinations, permutations
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.core.errors import TrainingError
from palaestra.core.events import discard
from palaestra.datasets.families import family
from palaestra.models.tiny import TinyModel
from palaestra.training.best_of import best_of_curve, best_of_n
from palaestra.training.pass_at_k import pass_curve
from palaestra.training.rewards import UtilityRewards, utility
from palaestra.training.rollouts import RolloutConfig, Rollouts
from palaestra.training.selections import best

LEVELS = st.sampled_from([0.0, 0.25, 0.5, 1.0])


@given(st.lists(st.tuples(LEVELS, LEVELS), min_size=1, max_size=5))
def test_the_curve_is_the_mean_over_all_choices_in_all_orders(answers: list[tuple[float, float]]) -> None:
    curve = best_of_curve([reward for reward, _ in answers], [worth for _, worth in answers])
    for count, expected in enumerate(curve, start=1):
        choices = [
            chosen for some in combinations(answers, count) for chosen in permutations(some)
        ]  # the first of equals is taken, so that in all orders each is taken as often
        picked = [chosen[best([reward for reward, _ in chosen])][1] for chosen in choices]
        assert expected == pytest.approx(fmean(picked))


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_by_a_verifier_the_best_of_k_is_pass_at_k(right: list[bool]) -> None:
    worths = [float(each) for each in right]
    assert best_of_curve(worths, worths) == pytest.approx(pass_curve(len(right), [sum(right)]))


def test_by_rewards_that_tell_nothing_more_answers_are_worth_no_more() -> None:
    assert best_of_curve([0.3] * 4, [0.0, 1.0, 0.5, 0.1]) == pytest.approx([0.4] * 4)


@pytest.mark.parametrize(
    ("rewards", "worths"), [([], []), ([0.1, math.nan], [0.1, 0.2]), ([0.1], [0.1, 0.2])]
)
def test_answers_without_rewards_are_refused(rewards: list[float], worths: list[float]) -> None:
    with pytest.raises(TrainingError):
        best_of_curve(rewards, worths)


def test_it_gives_the_answer_of_the_highest_reward(policy: TinyModel) -> None:
    task = family("trip").tasks(1, "held-out")[0]
    settings = RolloutConfig(max_tokens=20, show_context=False, temperature=1.0)

    def rollouts() -> Rollouts:
        return Rollouts(policy, settings, seed=0, emit=discard, known={})

    drawn = asyncio.run(rollouts().repeated("best-of-n", [task], 6))[0]
    found = asyncio.run(best_of_n(rollouts(), UtilityRewards(), task, 6))
    assert found == drawn[best([utility(task, answer) for answer in drawn])].model_copy(
        update={"seconds": found.seconds, "steps": found.steps, "usage": found.usage}
    )
