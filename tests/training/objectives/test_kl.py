"""What the estimators estimate, and what their gradients push towards, by enumeration of a categorical."""

import math

import pytest
import torch
from torch import Tensor

from palaestra.training.objectives.kl import k1, k2, k3

LOGITS = torch.tensor([0.3, -0.7, 1.1, 0.0], dtype=torch.float64)
REFERENCE = torch.tensor([-0.2, 0.4, 0.5, 0.1], dtype=torch.float64).log_softmax(dim=0)


def divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    return (log_p.exp() * (log_p - log_q)).sum()


def gradient(of: str) -> Tensor:
    """With respect to the logits; of an estimator, its expectation over samples of the policy."""
    logits = LOGITS.clone().requires_grad_()
    log_prob = logits.log_softmax(dim=0)
    weight = log_prob.detach().exp()
    value = {
        "k1": (weight * k1(log_prob, REFERENCE)).sum(),
        "k2": (weight * k2(log_prob, REFERENCE)).sum(),
        "k3": (weight * k3(log_prob, REFERENCE)).sum(),
        "reverse": divergence(log_prob, REFERENCE),
        "forward": divergence(REFERENCE, log_prob),
        "k1 in the reward": (weight * k1(log_prob.detach(), REFERENCE) * log_prob).sum(),
    }[of]
    return torch.autograd.grad(value, logits)[0]


def test_values() -> None:
    policy, reference = torch.zeros(()), torch.tensor(0.1)
    assert k1(policy, reference).item() == pytest.approx(-0.1)
    assert k2(policy, reference).item() == pytest.approx(0.005)
    assert k3(policy, reference).item() == pytest.approx(0.005171, abs=1e-6)


def test_k1_and_k3_are_unbiased() -> None:
    log_prob = LOGITS.log_softmax(dim=0)
    exact = divergence(log_prob, REFERENCE).item()
    for estimator in (k1, k3):
        assert (log_prob.exp() * estimator(log_prob, REFERENCE)).sum().item() == pytest.approx(exact)
    assert (k3(log_prob, REFERENCE) >= 0).all()
    assert not math.isclose((log_prob.exp() * k2(log_prob, REFERENCE)).sum().item(), exact, rel_tol=1e-3)


def test_gradients_in_the_loss_and_in_the_reward() -> None:
    torch.testing.assert_close(gradient("k1"), torch.zeros_like(LOGITS))
    torch.testing.assert_close(gradient("k2"), gradient("reverse"))
    torch.testing.assert_close(gradient("k3"), gradient("forward"))
    torch.testing.assert_close(gradient("k1 in the reward"), gradient("reverse"))
