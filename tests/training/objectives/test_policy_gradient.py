"""PPO's clip and the objectives built on it, against their closed forms."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from palaestra.training.objectives.aggregation import Totals, aggregate
from palaestra.training.objectives.arena_rl import ArenaRL, ArenaRLConfig
from palaestra.training.objectives.base import Objective, TokenBatch
from palaestra.training.objectives.dapo import DAPO, DAPOConfig, overlong_penalty
from palaestra.training.objectives.dr_grpo import DrGRPO, DrGRPOConfig
from palaestra.training.objectives.grpo import GRPO, GRPOConfig
from palaestra.training.objectives.gspo import GSPO, GSPOConfig, sequence_ratio
from palaestra.training.objectives.reinforce import Reinforce, ReinforceConfig
from palaestra.training.objectives.reinforce_plus_plus import ReinforcePlusPlus, ReinforcePlusPlusConfig
from palaestra.training.objectives.rloo import RLOO, RLOOConfig

Make = Callable[..., TokenBatch]


def loss(objective: Objective, batch: TokenBatch) -> Tensor:
    return aggregate(objective(batch).loss_NT, batch.mask_NT, objective.aggregation, Totals.of(batch.mask_NT))


def gradient(objective: Objective, batch: TokenBatch) -> Tensor:
    log_prob = batch.log_prob_NT.clone().requires_grad_()
    (found,) = torch.autograd.grad(loss(objective, replace(batch, log_prob_NT=log_prob)), log_prob)
    return found


@pytest.fixture
def on_policy(make: Make) -> TokenBatch:
    old = torch.full((2, 4), -1.5, dtype=torch.float64)
    return make(old, old_log_prob_NT=old).with_advantages(torch.tensor([1.0, -0.5], dtype=torch.float64))


@pytest.mark.parametrize(
    ("objective", "divisor"),
    [
        (ArenaRL(ArenaRLConfig()), [4, 4]),  # all tokens
        (DAPO(DAPOConfig()), [4, 4]),
        (GRPO(GRPOConfig(kl=0)), [2 * 3, 2 * 1]),  # sequences, and the tokens of each
        (GSPO(GSPOConfig()), [2 * 3, 2 * 1]),
        (DrGRPO(DrGRPOConfig(max_tokens=10)), [2 * 10, 2 * 10]),  # a constant
        (Reinforce(ReinforceConfig()), [2, 2]),
        (RLOO(RLOOConfig(kl=0)), [2, 2]),
    ],
)
def test_on_policy_gradient_is_minus_the_advantage_over_the_normaliser(
    on_policy: TokenBatch, objective: Objective, divisor: list[int]
) -> None:
    expected = -on_policy.advantage_NT / torch.tensor(divisor)[:, None]
    torch.testing.assert_close(gradient(objective, on_policy), expected)


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected", "moves"),
    [
        (1.5, 1.0, -1.28, False),  # clipped above: no further push up
        (1.5, -1.0, 1.5, True),  # the pessimistic side stays open
        (0.5, 1.0, -0.5, True),
        (0.5, -1.0, 0.8, False),  # clipped below: no further push down
    ],
)
def test_clipping_stops_the_push_beyond_the_trust_region(
    make: Make, ratio: float, advantage: float, expected: float, moves: bool
) -> None:
    log_prob = torch.full((2, 4), math.log(ratio), dtype=torch.float64)
    batch = make(log_prob, old_log_prob_NT=torch.zeros_like(log_prob))
    batch = batch.with_advantages(torch.full((2,), advantage, dtype=torch.float64))
    objective = ArenaRL(ArenaRLConfig(clip_low=0.2, clip_high=0.28))
    losses, metrics = objective(batch)
    assert losses[0, 1].item() == pytest.approx(expected)
    assert metrics["clip_fraction"][0, 1].item() == (not moves)
    assert (gradient(objective, batch)[0, 1].item() != 0) is moves


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected", "moves"),
    [
        (5.0, -1.0, 3.0, False),  # no further push down than this
        (2.0, -1.0, 2.0, True),
        (0.5, -1.0, 0.8, False),  # the first clip
        (5.0, 1.0, -1.28, False),
        (0.1, 1.0, -0.1, True),  # a good answer is never bounded below
    ],
)
def test_a_dual_clip_bounds_the_loss_of_what_was_bad(
    make: Make, ratio: float, advantage: float, expected: float, moves: bool
) -> None:
    log_prob = torch.full((2, 4), math.log(ratio), dtype=torch.float64)
    batch = make(log_prob, old_log_prob_NT=torch.zeros_like(log_prob))
    batch = batch.with_advantages(torch.full((2,), advantage, dtype=torch.float64))
    objective = ArenaRL(ArenaRLConfig(clip_low=0.2, clip_high=0.28, dual_clip=3))
    losses, metrics = objective(batch)
    assert losses[0, 1].item() == pytest.approx(expected)
    assert metrics["dual_clip_fraction"][0, 1].item() == (ratio * advantage < -3)
    assert (gradient(objective, batch)[0, 1].item() != 0) is moves


def test_the_kl_term_is_added_per_token(make: Make) -> None:
    zeros = torch.zeros(2, 4, dtype=torch.float64)
    batch = make(zeros, old_log_prob_NT=zeros, reference_log_prob_NT=torch.full_like(zeros, 0.5))
    losses, metrics = ArenaRL(ArenaRLConfig(kl=0.1))(batch)
    k3 = math.exp(0.5) - 0.5 - 1
    assert metrics["kl_to_reference"][0, 1].item() == pytest.approx(k3)
    assert losses[0, 1].item() == pytest.approx(0.1 * k3)
    assert "reference_log_prob_NT" in ArenaRL(ArenaRLConfig(kl=0.1)).needs
    assert "reference_log_prob_NT" not in ArenaRL(ArenaRLConfig()).needs


def test_dapo_penalises_overlong_answers() -> None:
    lengths = torch.tensor([100, 16_384, 18_432, 20_480, 30_000])
    assert overlong_penalty(lengths, 20_480, 4_096).tolist() == pytest.approx([0, 0, -0.5, -1, -1])


def test_dapo_drops_groups_that_agree_and_shapes_the_others(whole_batch: TokenBatch) -> None:
    rewards = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    batch = replace(whole_batch, reward_N=rewards)
    prepared, _ = DAPO(DAPOConfig(max_tokens=4, soft_tokens=2)).prepare(batch)
    assert prepared.mask_NT.any(dim=-1).tolist() == [False, False, True, True, False, False]
    # rewards 1 and 0 with lengths 3 and 4: penalties -½ and -1, which leave their order as it is
    assert prepared.advantage_NT[2, 1].item() == pytest.approx(math.sqrt(0.5), abs=1e-5)
    assert prepared.advantage_NT[3, 1].item() == pytest.approx(-math.sqrt(0.5), abs=1e-5)


def test_gspo_ratio_is_the_geometric_mean(make: Make) -> None:
    log_ratio = torch.tensor([[9.0, 0.1, -0.1, 0.0], [0.0, 0.2, 5.0, 5.0]], dtype=torch.float64)
    ratio = sequence_ratio(make(log_ratio, old_log_prob_NT=torch.zeros_like(log_ratio)))
    assert ratio[0].tolist() == pytest.approx([1, 1, 1, 1])
    assert ratio[1].tolist() == pytest.approx([math.exp(0.2)] * 4)


def test_gspo_and_its_token_form_have_one_gradient(whole_batch: TokenBatch) -> None:
    """s = sg(s)·π/sg(π) on each token gives the same values and the same gradient."""
    batch = whole_batch.with_advantages(torch.linspace(-1, 1, 6, dtype=torch.float64))
    batch = replace(batch, log_prob_NT=batch.log_prob_NT + 0.1 * batch.given("reference_log_prob_NT"))
    objective = GSPO(GSPOConfig(clip_low=9, clip_high=9))
    log_prob = batch.log_prob_NT.clone().requires_grad_()
    token_form = sequence_ratio(batch) * (log_prob - log_prob.detach()).exp()
    surrogate = -token_form * batch.advantage_NT
    totals = Totals.of(batch.mask_NT)
    value = aggregate(surrogate, batch.mask_NT, "sequence-mean", totals)
    torch.testing.assert_close(loss(objective, batch), value)
    torch.testing.assert_close(gradient(objective, batch), torch.autograd.grad(value, log_prob)[0])


def test_on_the_first_step_grpo_and_gspo_are_one(on_policy: TokenBatch) -> None:
    grpo, gspo = GRPO(GRPOConfig(kl=0)), GSPO(GSPOConfig())
    torch.testing.assert_close(loss(grpo, on_policy), loss(gspo, on_policy))
    torch.testing.assert_close(gradient(grpo, on_policy), gradient(gspo, on_policy))


def test_rloo_takes_the_kl_off_the_reward(whole_batch: TokenBatch) -> None:
    prepared, _ = RLOO(RLOOConfig(kl=0.5)).prepare(whole_batch)
    gap = whole_batch.log_prob_NT - whole_batch.given("reference_log_prob_NT")
    reward = whole_batch.given("reward_N") - 0.5 * gap.sum(dim=-1)
    expected = torch.stack(
        [reward[0] - reward[1], reward[1] - reward[0]]
    )  # of two, the baseline is the other
    torch.testing.assert_close(prepared.advantage_NT[:2, 2], expected)


def test_reinforce_plus_plus_whitens_returns_over_the_tokens_of_the_batch(whole_batch: TokenBatch) -> None:
    prepared, _ = ReinforcePlusPlus(ReinforcePlusPlusConfig(kl=0.3)).prepare(whole_batch)
    mask = whole_batch.mask_NT
    kl = 0.3 * (whole_batch.log_prob_NT - whole_batch.given("reference_log_prob_NT"))
    returns = torch.zeros_like(kl)
    for row in range(len(mask)):
        places = mask[row].nonzero().flatten().tolist()
        for place in places:
            later = sum(kl[row, other].item() for other in places if other >= place)
            returns[row, place] = whole_batch.given("reward_N")[row] - later
    chosen = returns[mask]
    expected = (chosen - chosen.mean()) / chosen.std(correction=0)
    torch.testing.assert_close(prepared.advantage_NT[mask], expected, rtol=1e-6, atol=1e-6)


def test_reinforce_plus_plus_with_a_baseline_centres_groups_first(whole_batch: TokenBatch) -> None:
    config = ReinforcePlusPlusConfig(kl=0, advantage="group-centred")
    agreeing = torch.tensor([5.0, 5.0, 1.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    prepared, _ = ReinforcePlusPlus(config).prepare(replace(whole_batch, reward_N=agreeing))
    advantage_N = prepared.advantage_NT[:, 2]
    assert torch.equal(advantage_N[:4], advantage_N[:1].expand(4)), "5 and 5 is no better than 1 and 1"
    assert advantage_N[4] > advantage_N[0] > advantage_N[5]


def test_reinforce_on_one_and_zero_imitates_what_was_right(whole_batch: TokenBatch) -> None:
    objective = Reinforce(ReinforceConfig(advantage="correct"))
    prepared, _ = objective.prepare(whole_batch)
    right = torch.tensor([True, False, True, False, True, False])[:, None] & whole_batch.mask_NT
    torch.testing.assert_close(gradient(objective, prepared), -right.to(torch.float64) / 6)
