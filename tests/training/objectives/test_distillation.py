"""Learning from a teacher: on-policy distillation, SDPO and LightReasoner."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from palaestra.training.objectives.base import TokenBatch
from palaestra.training.objectives.divergence import jensen_shannon, kl, with_tail
from palaestra.training.objectives.light_reasoner import contrastive_label, expertise
from palaestra.training.objectives.on_policy_distillation import (
    OnPolicyDistillation,
    OnPolicyDistillationConfig,
)
from palaestra.training.objectives.sdpo import SDPO, Divergence, SDPOConfig
from palaestra.training.objectives.sdpo_grpo import SDPOGRPO, SDPOGRPOConfig
from palaestra.training.objectives.self_teacher import (
    demonstration,
    move_average,
    reprompt,
)

Make = Callable[..., TokenBatch]
STUDENT = torch.tensor([0.3, -0.7, 1.1, 0.0], dtype=torch.float64)
TEACHER = torch.tensor([-0.2, 0.4, 0.5, 0.1], dtype=torch.float64).log_softmax(dim=0)
DIVERGENCES: list[Divergence] = ["forward", "reverse", "jensen-shannon"]


def over_all_tokens(log_prob_V: Tensor) -> TokenBatch:
    """One row for each token of the vocabulary, as if each had been drawn."""
    old = log_prob_V.detach()[:, None]
    return TokenBatch(
        log_prob_NT=log_prob_V[:, None],
        entropy_NT=torch.zeros_like(old),
        advantage_NT=torch.zeros_like(old),
        mask_NT=torch.ones_like(old, dtype=torch.bool),
        sampler_log_prob_NT=old,
        teacher_log_prob_NT=TEACHER[:, None],
    )


def test_distillation_descends_the_reverse_kl_exactly() -> None:
    """Σ π(a) ∇loss(a) = ∇KL(π ‖ teacher)."""
    logits = STUDENT.clone().requires_grad_()
    log_prob = logits.log_softmax(dim=0)
    objective = OnPolicyDistillation(OnPolicyDistillationConfig())
    batch, _ = objective.prepare(over_all_tokens(log_prob))
    expected_loss = (log_prob.detach().exp()[:, None] * objective(batch).loss_NT).sum()
    (found,) = torch.autograd.grad(expected_loss, logits, retain_graph=True)
    (exact,) = torch.autograd.grad(kl(log_prob, TEACHER), logits)
    torch.testing.assert_close(found, exact)


def test_the_teacher_pulls_towards_what_it_likes_better(whole_batch: TokenBatch) -> None:
    objective = OnPolicyDistillation(OnPolicyDistillationConfig(weight=2.0))
    sampler, teacher = whole_batch.given("sampler_log_prob_NT"), whole_batch.given("teacher_log_prob_NT")
    prepared, _ = objective.prepare(whole_batch)
    torch.testing.assert_close(prepared.advantage_NT, 2 * (teacher - sampler) * whole_batch.mask_NT)
    alike, _ = objective.prepare(replace(whole_batch, teacher_log_prob_NT=sampler))
    assert (alike.advantage_NT == 0).all()


def test_a_discount_lets_later_tokens_count_and_the_environment_has_its_say(make: Make) -> None:
    zeros = torch.zeros(2, 4)
    teacher = torch.tensor([[0.0, 1.0, 2.0, 4.0], [0.0, 3.0, 0.0, 0.0]])
    batch = make(zeros, sampler_log_prob_NT=zeros, teacher_log_prob_NT=teacher)
    batch = batch.with_advantages(torch.tensor([10.0, 0.0]))
    prepared, _ = OnPolicyDistillation(OnPolicyDistillationConfig(discount=0.5)).prepare(batch)
    assert prepared.advantage_NT.tolist() == [[0, 10 + 1 + 1 + 1, 10 + 2 + 2, 10 + 4], [0, 3, 0, 0]]


def candidates(student: Tensor, teacher: Tensor, make: Make) -> TokenBatch:
    log_prob = torch.zeros(2, 4, dtype=torch.float64)
    return make(
        log_prob,
        old_log_prob_NT=log_prob,
        candidate_log_prob_NTK=student.expand(2, 4, -1),
        teacher_candidate_log_prob_NTK=teacher.expand(2, 4, -1),
    )


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_a_self_teacher_without_feedback_teaches_nothing(make: Make, divergence: Divergence) -> None:
    logits = STUDENT.clone().requires_grad_()
    log_prob = logits.log_softmax(dim=0)[:3]
    loss = SDPO(SDPOConfig(divergence=divergence))(candidates(log_prob, log_prob.detach(), make)).loss_NT
    torch.testing.assert_close(loss, torch.zeros_like(loss))
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient))


def test_with_all_candidates_the_divergence_is_that_of_the_vocabulary(make: Make) -> None:
    student = STUDENT.log_softmax(dim=0)
    exact = {
        "forward": kl(TEACHER, student),
        "reverse": kl(student, TEACHER),
        "jensen-shannon": jensen_shannon(student, TEACHER, 0.5),
    }
    for divergence in DIVERGENCES:
        loss, _ = SDPO(SDPOConfig(divergence=divergence))(candidates(student, TEACHER, make))
        assert loss[0, 1].item() == pytest.approx(exact[divergence].item(), abs=1e-6)


def test_the_gradient_of_the_reverse_kl() -> None:
    """Σ π(v) log(π(v)/q(v)) ∇log π(v): the implicit advantage of v is log q(v) − log π(v)."""
    logits = STUDENT.clone().requires_grad_()
    log_prob = logits.log_softmax(dim=0)
    (found,) = torch.autograd.grad(kl(log_prob, TEACHER), logits, retain_graph=True)
    weight = (log_prob.exp() * (log_prob - TEACHER)).detach()
    (expected,) = torch.autograd.grad((weight * log_prob).sum(), logits)
    torch.testing.assert_close(found, expected)


def test_the_mixture_divergence_vanishes_at_its_ends() -> None:
    student = STUDENT.log_softmax(dim=0)
    assert jensen_shannon(student, TEACHER, 1e-9).item() == pytest.approx(0, abs=1e-8)
    assert jensen_shannon(student, TEACHER, 1 - 1e-9).item() == pytest.approx(0, abs=1e-8)
    assert jensen_shannon(student, TEACHER, 0.5).item() == jensen_shannon(TEACHER, student, 0.5).item()
    apart = torch.tensor([[0.0, -math.inf], [-math.inf, 0.0]], dtype=torch.float64)
    assert jensen_shannon(apart[0], apart[1], 0.5).item() == pytest.approx(math.log(2))


def test_the_tail_holds_what_the_candidates_leave() -> None:
    tailed = with_tail(torch.tensor([0.5, 0.2], dtype=torch.float64).log())
    assert tailed.exp().tolist() == pytest.approx([0.5, 0.2, 0.3])


def test_stale_tokens_weigh_at_most_the_cap(make: Make) -> None:
    batch = candidates(STUDENT.log_softmax(dim=0)[:3], TEACHER[:3], make)
    objective = SDPO(SDPOConfig(cap=2.0))
    fresh, _ = objective(batch)
    ahead = replace(batch, log_prob_NT=torch.full_like(batch.log_prob_NT, math.log(1.5)))
    far = replace(batch, log_prob_NT=torch.full_like(batch.log_prob_NT, 3.0))
    torch.testing.assert_close(objective(ahead).loss_NT[0, 1:], 1.5 * fresh[0, 1:])
    torch.testing.assert_close(objective(far).loss_NT[0, 1:], 2.0 * fresh[0, 1:])
    log_prob = ahead.log_prob_NT.clone().requires_grad_()
    assert not objective(replace(ahead, log_prob_NT=log_prob)).loss_NT.requires_grad, "weights are constants"


def test_sdpo_and_grpo_share_the_advantage(whole_batch: TokenBatch) -> None:
    prepared, _ = SDPOGRPO(SDPOGRPOConfig(mixture=0.9)).prepare(whole_batch)
    gain = whole_batch.given("teacher_log_prob_NT")[0, 2] - whole_batch.log_prob_NT[0, 2]
    assert prepared.advantage_NT[0, 2].item() == pytest.approx(0.9 * 0.5 + 0.1 * gain.item())


def test_an_average_moves_by_its_rate() -> None:
    teacher, student = [torch.tensor([1.0, 2.0])], [torch.tensor([3.0, 0.0], requires_grad=True)]
    move_average(teacher, student, 0.25)
    move_average(teacher, student, 0.25)
    assert teacher[0].tolist() == pytest.approx([3 - 2 * 0.75**2, 2 * 0.75**2])


def test_the_teacher_is_shown_a_solution_or_else_feedback() -> None:
    shown = reprompt("What is 2+2?", solution="<think>hm\nhm</think>4", feedback="3 is wrong")
    assert shown is not None
    assert shown.startswith("What is 2+2?")
    assert "4" in shown.splitlines()
    assert "hm" not in shown
    assert "3 is wrong" not in shown
    criticised = reprompt("What is 2+2?", feedback="3 is wrong")
    assert criticised is not None
    assert "3 is wrong" in criticised
    assert reprompt("What is 2+2?") is None


def test_a_demonstration_is_the_first_successful_sibling() -> None:
    assert demonstration([0.0, 1.0, 1.0], member=0) == 1
    assert demonstration([0.0, 1.0, 1.0], member=1) == 2
    assert demonstration([0.0, 1.0, 0.0], member=1) is None


EXPERT = torch.tensor([0.6, 0.3, 0.08, 0.02], dtype=torch.float64).log()
AMATEUR = torch.tensor([0.2, 0.6, 0.1, 0.1], dtype=torch.float64).log()


def test_contrast_of_expert_and_amateur() -> None:
    assert expertise(EXPERT, AMATEUR).item() == pytest.approx(0.4012, abs=1e-4)
    label = contrastive_label(EXPERT, AMATEUR, plausible=0.2)
    assert label.exp().tolist() == pytest.approx([6 / 7, 1 / 7, 0, 0])


def test_an_amateur_as_good_as_the_expert_is_no_lesson() -> None:
    assert expertise(EXPERT, EXPERT).item() == pytest.approx(0, abs=1e-9)
    assert contrastive_label(EXPERT, EXPERT, 0.2).exp().tolist() == pytest.approx([0.5, 0.5, 0, 0])


def test_padding_of_either_vocabulary_changes_no_label() -> None:
    rare = torch.full((3,), 1e-12, dtype=torch.float64).log()
    for expert, amateur in ((torch.cat([EXPERT, rare]), AMATEUR), (EXPERT, torch.cat([AMATEUR, rare]))):
        assert expertise(expert, amateur).item() == pytest.approx(0.4012, abs=1e-4)
        label = contrastive_label(expert, amateur, plausible=0.2)
        assert label.exp().tolist() == pytest.approx([6 / 7, 1 / 7] + [0] * (len(expert) - 2))


def test_what_the_amateur_thinks_impossible_does_not_explode() -> None:
    amateur = torch.tensor([0.0, 1.0, 0.0, 0.0], dtype=torch.float64).log()
    assert contrastive_label(EXPERT, amateur, 0.2).exp().sum().item() == pytest.approx(1)
    assert math.isfinite(expertise(EXPERT, amateur))


def test_one_plausible_token_is_supervised_as_usual() -> None:
    sure = torch.tensor([0.97, 0.01, 0.01, 0.01], dtype=torch.float64).log()
    student = STUDENT.log_softmax(dim=0)
    assert kl(contrastive_label(sure, AMATEUR, plausible=0.2), student).item() == pytest.approx(
        -student[0].item()
    )
