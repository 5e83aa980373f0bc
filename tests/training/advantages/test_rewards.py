"""The rules from rewards to advantages against their closed forms."""

import math
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from palaestra.core.errors import TrainingError
from palaestra.training.advantages.groups import group_mean, group_size, group_std, is_uniform
from palaestra.training.advantages.registry import AdvantageName, advantages
from palaestra.training.advantages.rewards import (
    batch_standardised,
    correct,
    group_centred,
    group_standardised,
    leave_one_out,
    signed,
    task_standardised,
)

REWARD = torch.tensor([1.0, 2.0, 4.0, 10.0, 20.0, 0.3, 0.3, 0.3, 7.0], dtype=torch.float64)
GROUP = torch.tensor([5, 5, 5, 1, 1, 8, 8, 8, 2])
"""Three, two, three that agree, and one alone."""
FAMILY = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 1])
NAMES: tuple[AdvantageName, ...] = get_args(AdvantageName)
COMPARING = [name for name in NAMES if name not in ("signed", "correct", "reward", "batch-standardised")]


def of(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_grpo_divides_by_the_unbiased_deviation_of_the_group() -> None:
    found = group_standardised(REWARD, GROUP)
    expected = of(-0.8729, -0.2182, 1.0911, -math.sqrt(0.5), math.sqrt(0.5), 0, 0, 0, 0)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_dr_grpo_takes_the_mean_off_alone() -> None:
    torch.testing.assert_close(group_centred(REWARD, GROUP), of(-4 / 3, -1 / 3, 5 / 3, -5, 5, 0, 0, 0, 0))


def test_leave_one_out_is_the_distance_to_the_others() -> None:
    found = leave_one_out(REWARD, GROUP)
    torch.testing.assert_close(found, of(1 - 3, 2 - 2.5, 4 - 1.5, -10, 10, 0, 0, 0, 0))
    torch.testing.assert_close(found[:3], 3 / 2 * group_centred(REWARD, GROUP)[:3])


def test_the_batch_is_one_group() -> None:
    torch.testing.assert_close(
        batch_standardised(REWARD), (REWARD - REWARD.mean()) / (REWARD.std(correction=1) + 1e-6)
    )


def test_task_deviation_spans_the_groups_of_a_family() -> None:
    found = task_standardised(REWARD, GROUP, FAMILY)
    spread = REWARD[:5].std(correction=1) + 1e-6
    torch.testing.assert_close(found[:5], of(-4 / 3, -1 / 3, 5 / 3, -5, 5) / spread)
    assert found[5:].tolist() == [0, 0, 0, 0]


def test_a_family_of_one_rollout_has_advantage_zero() -> None:
    alone = torch.tensor([0])
    assert task_standardised(of(3.0), alone, alone).tolist() == [0]


def test_right_and_wrong() -> None:
    rewards = of(1.0, 0.0, 0.5, 0.51, -1.0)
    assert signed(rewards).tolist() == [1, -1, -1, 1, -1]
    assert correct(rewards).tolist() == [1, 0, 0, 1, 0]


def test_one_sign_and_group_normalisation_leave_nothing() -> None:
    assert (group_standardised(signed(torch.ones(4)), torch.zeros(4, dtype=torch.long)) == 0).all()


@pytest.mark.parametrize("name", COMPARING)
def test_groups_that_agree_have_exactly_no_advantage(name: AdvantageName) -> None:
    """Though the mean of three times 0.3 is not quite 0.3 in floating point."""
    reward = torch.tensor([0.1] * 3 + [0.7] + [0.3] * 6, dtype=torch.float32)
    group = torch.tensor([0, 0, 0, 1, 2, 2, 2, 2, 2, 2])
    assert (advantages(name, reward, group, torch.zeros_like(group)) == 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_rewards_that_cannot_be_learnt_from(name: AdvantageName) -> None:
    empty = torch.zeros(0)
    with pytest.raises(TrainingError, match="there are no rewards"):
        advantages(name, empty, empty.long(), empty.long())
    for bad in (math.nan, math.inf):
        with pytest.raises(TrainingError, match=f"the reward of rollout 1 is {bad}"):
            advantages(name, of(0.0, bad), torch.zeros(2).long(), torch.zeros(2).long())


Rollout = st.tuples(st.integers(-20, 20), st.integers(0, 3), st.integers(0, 1))


@given(st.lists(Rollout, min_size=1, max_size=12), st.sampled_from(NAMES), st.integers(0, 99))
def test_the_order_of_rollouts_does_not_matter(
    rollouts: list[tuple[int, int, int]], name: AdvantageName, seed: int
) -> None:
    order = torch.randperm(len(rollouts), generator=torch.Generator().manual_seed(seed))
    reward, group, family = (torch.tensor(column) for column in zip(*rollouts, strict=True))
    found = advantages(name, reward.double(), group, family)
    shuffled = advantages(name, reward.double()[order], group[order], family[order])
    torch.testing.assert_close(shuffled, found[order])


@given(st.lists(Rollout, min_size=1, max_size=12), st.sampled_from(COMPARING), st.integers(-9, 9))
def test_a_baseline_makes_the_level_of_rewards_irrelevant(
    rollouts: list[tuple[int, int, int]], name: AdvantageName, level: int
) -> None:
    reward, group, _ = (torch.tensor(column) for column in zip(*rollouts, strict=True))
    family = group // 2  # a prompt is of one family
    found = advantages(name, reward.double(), group, family)
    torch.testing.assert_close(advantages(name, reward.double() + level, group, family), found)
    torch.testing.assert_close(group_mean(found, group), torch.zeros_like(found))


@given(st.lists(Rollout, min_size=1, max_size=12))
def test_statistics_of_groups(rollouts: list[tuple[int, int, int]]) -> None:
    reward, group, _ = (torch.tensor(column) for column in zip(*rollouts, strict=True))
    reward = reward.double()
    for place, name in enumerate(group.tolist()):
        members = reward[group == name]
        assert group_size(group)[place] == len(members)
        assert group_mean(reward, group)[place].item() == pytest.approx(members.mean().item())
        deviation = members.std(correction=1).item() if len(members) > 1 else 0.0
        assert group_std(reward, group)[place].item() == pytest.approx(deviation)
        assert bool(is_uniform(reward, group)[place]) == bool((members == members[0]).all())
