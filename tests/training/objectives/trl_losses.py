"""Writes trl_losses.json: what TRL's own loss functions give on a small batch.

    pip install trl==1.16.0 && python tests/training/objectives/trl_losses.py

TRL's methods are called with the log-probabilities of the batch in place of a model's, so that the numbers
are those of its loss code alone. `test_trl.py` compares; TRL itself is not needed for that.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from trl import GRPOTrainer, RLOOTrainer
from trl.experimental.cpo import CPOTrainer
from trl.experimental.sdpo import loss_utils

MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0]])
MAX_TOKENS = 16


def inputs() -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(7)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    old = -1.5 + 0.5 * normal(4, 5)
    return {
        "mask": MASK,
        "old": old,
        "policy": old + 0.25 * normal(4, 5),
        "reference": old + 0.3 * normal(4, 5),
        "entropy": normal(4, 5).abs(),
        "advantage": normal(4),
        "student_logits": normal(4, 5, 7),
        "teacher_logits": normal(4, 5, 7),
    }


def accelerator() -> SimpleNamespace:
    return SimpleNamespace(num_processes=1, gather=lambda x: x, reduce=lambda x, reduction: x)


def settings(loss_type: str, level: str, low: float, high: float, beta: float) -> dict[str, Any]:
    args = SimpleNamespace(delta=None, use_bias_correction_kl=False, steps_per_generation=1)
    return {
        "loss_type": loss_type,
        "importance_sampling_level": level,
        "epsilon_low": low,
        "epsilon_high": high,
        "beta": beta,
        "args": args,
        "accelerator": accelerator(),
        "model": SimpleNamespace(training=True),
        "max_completion_length": MAX_TOKENS,
        "current_gradient_accumulation_steps": 1,
        "aux_loss_enabled": False,
        "top_entropy_quantile": 1.0,
        "off_policy_mask_threshold": None,
        "use_vllm": False,
        "_entropy_bonus_enabled": False,
        "_metrics": {"train": defaultdict(list)},
    }


def grpo(trainer: type, batch: dict[str, Tensor], **given: Any) -> dict[str, Any]:
    """Loss and gradient of GRPOTrainer or RLOOTrainer with respect to the token log-probabilities."""
    policy = given.pop("policy", batch["policy"]).clone().requires_grad_()
    fake = SimpleNamespace(**given)
    fake._get_per_token_logps_and_entropies = lambda *a, **k: (policy, batch["entropy"], None)
    prompt = torch.zeros(4, 1, dtype=torch.long)
    loss = trainer._compute_loss(  # type: ignore[attr-defined]
        fake,
        None,
        {
            "prompt_ids": prompt,
            "prompt_mask": prompt,
            "completion_ids": torch.zeros_like(MASK),
            "completion_mask": MASK,
            "advantages": batch["advantage"],
            "old_per_token_logps": batch["old"],
            "old_logps": (batch["old"] * MASK).sum(1),
            "ref_per_token_logps": batch["reference"],
            "num_items_in_batch": MASK.sum(),
        },
    )
    loss.backward()
    assert policy.grad is not None
    return {"loss": loss.item(), "gradient": policy.grad.tolist()}


def preferences(batch: dict[str, Tensor], loss_type: str, beta: float) -> dict[str, Any]:
    """SimPO of mean log-probabilities, or the sigmoid loss, which on log-ratios is DPO's."""
    policy = batch["policy"].clone().requires_grad_()
    ratio = ((policy - batch["reference"]) * MASK).sum(1)
    score = (policy * MASK).sum(1) / MASK.sum(1) if loss_type == "simpo" else ratio
    fake = SimpleNamespace(loss_type=loss_type, beta=beta, simpo_gamma=1.0, label_smoothing=0.0, alpha=0.0)
    fake.accelerator = SimpleNamespace(device="cpu")
    loss = CPOTrainer.cpo_loss(fake, score[0::2], score[1::2])[0].mean()
    loss.backward()
    assert policy.grad is not None
    return {"loss": loss.item(), "gradient": policy.grad.tolist()}


def sdpo(batch: dict[str, Tensor], alpha: float) -> dict[str, Any]:
    logits = batch["student_logits"].clone().requires_grad_()
    divergence = loss_utils.compute_topk_self_distillation_loss(
        logits,
        batch["teacher_logits"],
        distillation_topk=3,
        distillation_alpha=alpha,
        distillation_add_tail=True,
    )
    weighted = loss_utils.apply_importance_sampling_clipping(divergence, batch["policy"], batch["old"], 2.0)
    loss = (weighted * MASK).sum() / MASK.sum()
    loss.backward()
    assert logits.grad is not None
    return {"loss": loss.item(), "gradient": logits.grad.tolist()}


def main() -> None:
    batch = inputs()
    on_policy = batch["old"]
    losses = {
        "grpo": grpo(GRPOTrainer, batch, **settings("grpo", "token", 0.2, 0.2, 0.04)),
        "dr-grpo": grpo(GRPOTrainer, batch, **settings("dr_grpo", "token", 0.2, 0.2, 0.0)),
        "dapo": grpo(GRPOTrainer, batch, **settings("dapo", "token", 0.2, 0.28, 0.0)),
        "gspo": grpo(GRPOTrainer, batch, **settings("grpo", "sequence", 0.1, 0.15, 0.0)),
        "rloo": grpo(RLOOTrainer, batch, policy=on_policy, **settings("", "", 0.2, 0.2, 0.0)),
        "dpo": preferences(batch, "sigmoid", 0.3),
        "simpo": preferences(batch, "simpo", 2.0),
        "sdpo-forward": sdpo(batch, 0.0),
        "sdpo-reverse": sdpo(batch, 1.0),
        "sdpo-jensen-shannon": sdpo(batch, 0.5),
    }
    stored = {"inputs": {name: value.tolist() for name, value in batch.items()}, "trl 1.16.0": losses}
    Path(__file__).with_suffix(".json").write_text(json.dumps(stored) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
