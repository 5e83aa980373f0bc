"""Rewards, returns and advantages of single tokens."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from palaestra.training.advantages.tokens import (
    at_last_token,
    discounted_sum,
    distillation_advantages,
    generalised_advantages,
    scaled,
    standardised,
)

MASK = torch.tensor([[False, True, False, True, True, False], [False, True, True, False, False, False]])


def rows(*values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_the_reward_comes_with_the_last_token() -> None:
    found = at_last_token(rows([7.0, 8.0])[0], MASK)
    assert found.tolist() == [[0, 0, 0, 0, 7, 0], [0, 0, 8, 0, 0, 0]]
    nothing = torch.zeros_like(MASK)
    assert (at_last_token(rows([7.0, 8.0])[0], nothing) == 0).all()


def test_a_tools_output_takes_no_time() -> None:
    values = rows([9.0, 1.0, 9.0, 2.0, 4.0, 9.0], [9.0, 3.0, 5.0, 9.0, 9.0, 9.0])
    half = discounted_sum(values, MASK, 0.5)
    assert half.tolist() == [[0, 1 + 1 + 1, 0, 2 + 2, 4, 0], [0, 3 + 2.5, 5, 0, 0, 0]]
    assert discounted_sum(values, MASK, 0).tolist() == (values * MASK).tolist()
    assert discounted_sum(values, MASK, 1).tolist() == [[0, 7, 0, 6, 4, 0], [0, 8, 5, 0, 0, 0]]


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 100))
def test_generalised_advantages_are_their_definition(discount: float, trace: float, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    reward, value = (torch.randn(2, 6, generator=draw, dtype=torch.float64) * MASK for _ in range(2))
    found = generalised_advantages(reward, value, MASK, discount, trace)
    for row in range(2):
        places = MASK[row].nonzero().flatten().tolist()
        following = dict(itertools.pairwise(places))
        advantage = 0.0
        for place in reversed(places):
            ahead = value[row, following[place]].item() if place in following else 0.0
            error = reward[row, place].item() + discount * ahead - value[row, place].item()
            advantage = error + discount * trace * advantage
            assert found[row, place].item() == pytest.approx(advantage, abs=1e-9)
    assert (found[~MASK] == 0).all()


def test_without_discount_the_advantage_is_the_return_less_the_value() -> None:
    draw = torch.Generator().manual_seed(1)
    reward, value = (torch.randn(2, 6, generator=draw, dtype=torch.float64) * MASK for _ in range(2))
    found = generalised_advantages(reward, value, MASK, 1, 1)
    torch.testing.assert_close(found, (discounted_sum(reward, MASK, 1) - value) * MASK)


def test_whitening_sees_generated_tokens_alone() -> None:
    values = rows([99.0, 1.0, 99.0, 2.0, 3.0, 99.0], [99.0, 4.0, 5.0, 99.0, 99.0, 99.0])
    white = standardised(values, MASK)
    assert white[MASK].mean().item() == pytest.approx(0, abs=1e-9)
    assert white[MASK].std(correction=0).item() == pytest.approx(1)
    assert (white[~MASK] == 0).all()
    kept = scaled(values, MASK)
    assert kept[MASK].mean().item() == pytest.approx(3)
    assert kept[MASK].std(correction=0).item() == pytest.approx(1)


@pytest.mark.parametrize("mask", [torch.zeros_like(MASK), MASK])
def test_nothing_to_whiten_gives_zeros(mask: Tensor) -> None:
    assert (standardised(torch.full((2, 6), 0.1), mask) == 0).all()


def test_the_teacher_gives_a_token_what_it_likes_better() -> None:
    assert distillation_advantages(rows([-2.0, -1.0]), rows([-1.0, -1.0])).tolist() == [[1, 0]]
