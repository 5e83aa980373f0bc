"""PSR, NSR and W-REINFORCE on a softmax policy of one token."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from palaestra.training.objectives.aggregation import Totals, aggregate
from palaestra.training.objectives.base import Objective, TokenBatch
from palaestra.training.objectives.nsr import NSR, NSRConfig
from palaestra.training.objectives.psr import PSR, PSRConfig
from palaestra.training.objectives.w_reinforce import WReinforce, WReinforceConfig

LOGITS = torch.tensor([0.5, -0.3, 1.2, 0.1], dtype=torch.float64)
PROB = LOGITS.softmax(dim=0)
DRAWN = 2


def one_token(log_prob: Tensor, reward: float) -> TokenBatch:
    old = log_prob.detach()[None, None]
    return TokenBatch(
        log_prob_NT=log_prob[None, None],
        entropy_NT=torch.zeros_like(old),
        advantage_NT=torch.zeros_like(old),
        mask_NT=torch.ones_like(old, dtype=torch.bool),
        old_log_prob_NT=old,
        reward_N=torch.tensor([reward], dtype=torch.float64),
        group_N=torch.tensor([0]),
        family_N=torch.tensor([0]),
    )


def descent(objective: Objective, reward: float) -> Tensor:
    """−∂L/∂z for one drawn token."""
    logits = LOGITS.clone().requires_grad_()
    batch, _ = objective.prepare(one_token(logits.log_softmax(dim=0)[DRAWN], reward))
    (gradient,) = torch.autograd.grad(loss(objective, batch), logits)
    return -gradient


def loss(objective: Objective, batch: TokenBatch) -> Tensor:
    return aggregate(objective(batch).loss_NT, batch.mask_NT, "token-mean", Totals.of(batch.mask_NT))


@pytest.mark.parametrize(("objective", "sign"), [(PSR(PSRConfig()), 1), (NSR(NSRConfig()), -1)])
def test_gradient_by_logit(objective: Objective, sign: int) -> None:
    """R(1 − π_y) on the drawn token and −Rπ_v on the others: the probability form divided by π_y."""
    is_drawn = torch.arange(4) == DRAWN
    expected = sign * torch.where(is_drawn, 1 - PROB, -PROB)
    found = descent(objective, reward=float(sign > 0))
    torch.testing.assert_close(found, expected)
    assert found.sum().item() == pytest.approx(0, abs=1e-12)
    logits = LOGITS.clone().requires_grad_()
    (probability_form,) = torch.autograd.grad(sign * logits.softmax(dim=0)[DRAWN], logits)
    torch.testing.assert_close(PROB[DRAWN] * found, probability_form)


def test_what_a_wrong_token_loses_goes_to_the_others_by_what_they_have() -> None:
    gained = descent(NSR(NSRConfig()), reward=0.0)
    others = torch.arange(4) != DRAWN
    shares = gained[others] / gained[others].sum()
    torch.testing.assert_close(shares, PROB[others] / PROB[others].sum())


def entropy(logits: Tensor) -> Tensor:
    log_prob = logits.log_softmax(dim=0)
    return -(log_prob.exp() * log_prob).sum()


def test_what_is_likely_sharpens_the_policy_when_right_and_spreads_it_when_wrong() -> None:
    """Along the step the entropy changes by its gradient −π_v (log π_v − Σ π log π)."""
    log_prob = LOGITS.log_softmax(dim=0)
    slope = -PROB * (log_prob - (PROB * log_prob).sum())
    for objective, reward in ((PSR(PSRConfig()), 1.0), (NSR(NSRConfig()), 0.0)):
        step = descent(objective, reward)
        change = (entropy(LOGITS + 1e-5 * step) - entropy(LOGITS - 1e-5 * step)).item() / 2e-5
        assert change == pytest.approx((slope * step).sum().item(), rel=1e-6)
        assert (change < 0) == (reward == 1.0)


@pytest.fixture
def rewarded(whole_batch: TokenBatch) -> TokenBatch:
    return replace(whole_batch, reward_N=torch.tensor([1.0, 0, 0, 1, 0, 0], dtype=torch.float64))


def test_positive_and_negative_halves(rewarded: TokenBatch) -> None:
    for objective, kept in (
        (PSR(PSRConfig()), [True, False, False, True, False, False]),
        (NSR(NSRConfig()), [False, True, True, False, True, True]),
    ):
        prepared, _ = objective.prepare(rewarded)
        assert prepared.mask_NT.any(dim=-1).tolist() == kept
        assert loss(objective, prepared).item() == pytest.approx(-1 if objective.config.name == "psr" else 1)


def test_w_reinforce_is_both_halves_over_all_tokens(rewarded: TokenBatch) -> None:
    weighted = WReinforce(WReinforceConfig(positive_weight=0.1))
    prepared, _ = weighted.prepare(rewarded)
    right, wrong = PSR(PSRConfig()).prepare(rewarded)[0], NSR(NSRConfig()).prepare(rewarded)[0]
    tokens = [int(batch.mask_NT.sum()) for batch in (right, wrong)]
    expected = (0.1 * -1 * tokens[0] + 1 * tokens[1]) / sum(tokens)
    assert loss(weighted, prepared).item() == pytest.approx(expected)


def test_weight_one_is_reinforce_and_weight_zero_is_nsr_but_for_the_denominator(rewarded: TokenBatch) -> None:
    full, _ = WReinforce(WReinforceConfig(positive_weight=1)).prepare(rewarded)
    assert set(full.advantage_NT[full.mask_NT].tolist()) == {1.0, -1.0}
    none = WReinforce(WReinforceConfig(positive_weight=0))
    prepared, _ = none.prepare(rewarded)
    wrong, _ = NSR(NSRConfig()).prepare(rewarded)
    share = wrong.mask_NT.sum() / rewarded.mask_NT.sum()
    assert loss(none, prepared).item() == pytest.approx(float(share * loss(NSR(NSRConfig()), wrong)))


def test_a_batch_without_a_wrong_answer_leaves_nsr_nothing(rewarded: TokenBatch) -> None:
    right = replace(rewarded, reward_N=torch.ones(6, dtype=torch.float64))
    assert not NSR(NSRConfig()).prepare(right)[0].mask_NT.any()
    assert PSR(PSRConfig()).prepare(right)[0].mask_NT.equal(rewarded.mask_NT)
