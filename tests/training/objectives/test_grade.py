"""Relaxed tokens: what goes forward, what comes back."""

import pytest
import torch

from palaestra.training.objectives.base import TokenBatch
from palaestra.training.objectives.grade import GRADE, GRADEConfig
from palaestra.training.objectives.grade_ste import GRADESTE, GRADESTEConfig
from palaestra.training.objectives.relaxation import RelaxedToken, relaxed_token, straight_through

LOGITS = torch.tensor([[2.0, 0.5, 1.0, -1.0, 0.0], [0.0, 0.1, 3.0, 0.2, -2.0]], dtype=torch.float64)


def spread_out(token: RelaxedToken) -> torch.Tensor:
    """Over the vocabulary of LOGITS."""
    zeros = token.weight_K.new_zeros(len(token.weight_K), 5)
    return zeros.scatter(-1, token.index_K, token.weight_K)


def uniform(*shape: int, seed: int = 3) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_the_largest_entry_is_a_sample_of_the_softmax_at_any_temperature(temperature: float) -> None:
    draws = 40_000
    tokens = relaxed_token(LOGITS[:1].expand(draws, -1), uniform(draws, 5), temperature, 5).ids
    share = tokens.bincount(minlength=5) / draws
    error = (LOGITS[0].softmax(dim=0) / draws).sqrt().max().item()
    assert (share - LOGITS[0].softmax(dim=0)).abs().max().item() < 4 * error


def test_outside_of_the_top_k_there_is_neither_weight_nor_gradient() -> None:
    logits = LOGITS.clone().requires_grad_()
    soft = spread_out(relaxed_token(logits, uniform(2, 5), 1.0, 3))
    outside = torch.tensor([[False, False, False, True, True], [True, False, False, False, True]])
    assert (soft[outside] == 0).all()
    assert soft.sum(dim=-1).tolist() == pytest.approx([1, 1])
    (gradient,) = torch.autograd.grad((soft * uniform(2, 5, seed=4)).sum(), logits)
    assert (gradient[outside] == 0).all()
    assert (gradient[~outside] != 0).all()
    assert gradient.sum(dim=-1).tolist() == pytest.approx([0, 0], abs=1e-12)


def test_gradient_of_the_soft_token_by_finite_differences() -> None:
    noise = uniform(2, 5)
    logits = LOGITS.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda given: relaxed_token(given, noise, 0.7, 3).weight_K, [logits])


def test_straight_through_is_hard_forward_and_soft_backward() -> None:
    logits, value = LOGITS.clone().requires_grad_(), uniform(2, 5, seed=4)
    soft = GRADE(GRADEConfig()).relax(logits, uniform(2, 5), step=0)
    hard = GRADESTE(GRADESTEConfig()).relax(logits, uniform(2, 5), step=0)
    assert spread_out(hard).tolist() == torch.nn.functional.one_hot(soft.ids, 5).tolist()
    (through,) = torch.autograd.grad((spread_out(hard) * value).sum(), logits, retain_graph=True)
    (expected,) = torch.autograd.grad((spread_out(soft) * value).sum(), logits)
    torch.testing.assert_close(through, expected)
    assert torch.equal(straight_through(hard).weight_K, hard.weight_K)


def test_mixed_is_the_product_with_the_table_with_its_gradient() -> None:
    table = uniform(5, 3, seed=6).requires_grad_()
    logits = LOGITS.clone().requires_grad_()
    token = relaxed_token(logits, uniform(2, 5), 1.0, 3)
    found, expected = token.mixed(table), spread_out(token) @ table
    torch.testing.assert_close(found, expected)
    for leaf in (table, logits):
        through, directly = (
            torch.autograd.grad(value.square().sum(), leaf, retain_graph=True)[0]
            for value in (found, expected)
        )
        torch.testing.assert_close(through, directly)


def test_the_colder_the_harder_and_the_noisier_the_gradient() -> None:
    noise, value = uniform(2000, 5), uniform(5, seed=4)
    spread = []
    for temperature in (2.0, 0.5, 0.05):
        logits = LOGITS[:1].expand(2000, -1).clone().requires_grad_()
        soft = spread_out(relaxed_token(logits, noise, temperature, 5))
        (gradient,) = torch.autograd.grad((soft * value).sum(), logits)
        spread.append(gradient.var(dim=0).sum().item())
    assert spread == sorted(spread)
    cold = relaxed_token(LOGITS, uniform(2, 5), 1e-4, 5).weight_K
    torch.testing.assert_close(cold.max(dim=-1).values, torch.ones(2, dtype=torch.float64))


def test_noise_of_zero_and_one_is_finite() -> None:
    assert relaxed_token(LOGITS, torch.zeros(2, 5), 0.5, 5).weight_K.isfinite().all()
    assert relaxed_token(LOGITS, torch.ones(2, 5), 0.5, 5).weight_K.isfinite().all()


def test_the_temperature_falls_linearly_and_stays() -> None:
    objective = GRADE(GRADEConfig())
    found = [objective.temperature(step) for step in (0, 250, 1000, 2000, 5000)]
    assert found == pytest.approx([2.0, 1.8125, 1.25, 0.5, 0.5])


def test_the_kl_is_in_the_loss(whole_batch: TokenBatch) -> None:
    loss, _ = GRADE(GRADEConfig(kl=0.1))(whole_batch)
    reward, kl = whole_batch.given("relaxed_reward_N")[0], whole_batch.given("reference_kl_NT")[0, 2]
    assert loss[0, 2].item() == pytest.approx((-reward + 0.1 * kl).item())
