"""The same numbers as TRL's losses on the same batch; trl_losses.py has made them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from palaestra.training.objectives.aggregation import Totals, aggregate
from palaestra.training.objectives.base import Objective, TokenBatch
from palaestra.training.objectives.dapo import DAPO, DAPOConfig
from palaestra.training.objectives.dpo import DPO, DPOConfig
from palaestra.training.objectives.dr_grpo import DrGRPO, DrGRPOConfig
from palaestra.training.objectives.grpo import GRPO, GRPOConfig
from palaestra.training.objectives.gspo import GSPO, GSPOConfig
from palaestra.training.objectives.rloo import RLOO, RLOOConfig
from palaestra.training.objectives.sdpo import SDPO, Divergence, SDPOConfig
from palaestra.training.objectives.simpo import SimPO, SimPOConfig

STORED: dict[str, Any] = json.loads(Path(__file__).with_name("trl_losses.json").read_text("utf-8"))
INPUTS = {name: torch.tensor(value, dtype=torch.float64) for name, value in STORED["inputs"].items()}
MASK = INPUTS["mask"].bool()


def batch(log_prob_NT: Tensor, **more: Tensor) -> TokenBatch:
    return TokenBatch(
        log_prob_NT=log_prob_NT,
        entropy_NT=INPUTS["entropy"],
        advantage_NT=INPUTS["advantage"][:, None] * MASK,
        mask_NT=MASK,
        old_log_prob_NT=INPUTS["old"],
        reference_log_prob_NT=INPUTS["reference"],
        **more,
    )


def value(objective: Objective, given: TokenBatch) -> Tensor:
    return aggregate(objective(given).loss_NT, MASK, objective.aggregation, Totals.of(MASK))


@pytest.mark.parametrize(
    ("name", "objective"),
    [
        ("grpo", GRPO(GRPOConfig(kl=0.04))),
        ("dr-grpo", DrGRPO(DrGRPOConfig(max_tokens=16))),
        ("dapo", DAPO(DAPOConfig())),
        ("gspo", GSPO(GSPOConfig(clip_low=0.1, clip_high=0.15))),
        ("dpo", DPO(DPOConfig(beta=0.3))),
        ("simpo", SimPO(SimPOConfig(beta=2.0, margin=1.0))),
    ],
)
def test_loss_and_gradient(name: str, objective: Objective) -> None:
    oracle = STORED["trl 1.16.0"][name]
    log_prob = INPUTS["policy"].clone().requires_grad_()
    loss = value(objective, batch(log_prob))
    (gradient,) = torch.autograd.grad(loss, log_prob)
    assert loss.item() == pytest.approx(oracle["loss"], rel=1e-12)
    torch.testing.assert_close(gradient, torch.tensor(oracle["gradient"], dtype=torch.float64))


def test_rloo_has_the_gradient_of_the_ratio_that_trl_takes() -> None:
    log_prob = INPUTS["old"].clone().requires_grad_()
    loss = value(RLOO(RLOOConfig(kl=0)), batch(log_prob))
    (gradient,) = torch.autograd.grad(loss, log_prob)
    expected = torch.tensor(STORED["trl 1.16.0"]["rloo"]["gradient"], dtype=torch.float64)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("divergence", ["forward", "reverse", "jensen-shannon"])
def test_sdpo(divergence: Divergence) -> None:
    oracle = STORED["trl 1.16.0"][f"sdpo-{divergence}"]
    logits = INPUTS["student_logits"].clone().requires_grad_()
    student, teacher = logits.log_softmax(dim=-1), INPUTS["teacher_logits"].log_softmax(dim=-1)
    best, index = student.topk(3, dim=-1)
    given = batch(
        INPUTS["policy"],
        candidate_log_prob_NTK=best,
        teacher_candidate_log_prob_NTK=teacher.gather(-1, index),
    )
    loss = value(SDPO(SDPOConfig(divergence=divergence, cap=2.0)), given)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.item() == pytest.approx(oracle["loss"], rel=1e-12)
    torch.testing.assert_close(gradient, torch.tensor(oracle["gradient"], dtype=torch.float64))
