"""Reinforcement learning that may move some weights only: off the principal directions, or on them."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from benchmarks.miniatures.miniature import Comparison, Miniature
from benchmarks.miniatures.substitution import DESCRIPTION, Substitution, substitution
from benchmarks.miniatures.tiny_policy import adam, copied
from palaestra.training.objectives.grpo import GRPO, GRPOConfig
from palaestra.training.update_mask import UpdateMaskConfig, masks
from palaestra.training.updater import Updater

RANK, LEARNING_RATE, MARGIN = 8, 3e-4, 0.05
ARMS: Mapping[str, UpdateMaskConfig | None] = {
    "dense": None,
    "safe": UpdateMaskConfig(parts=("low-magnitude", "not-principal"), rank=RANK),
    "principal": UpdateMaskConfig(parts=("principal",), rank=RANK),
    "random": UpdateMaskConfig(parts=("principal",), rank=RANK, shuffled=True),
}


def measure(seed: int) -> Mapping[str, float]:
    task = substitution(seed)
    return {name: _accuracy(task, config, seed) for name, config in ARMS.items()}


def _accuracy(task: Substitution, config: UpdateMaskConfig | None, seed: int) -> float:
    """Weights are stored in bfloat16 and stepped on in float32; embeddings and norms stay as they are."""
    policy = copied(task.start)
    policy.module.to(dtype=torch.bfloat16)
    allowed = masks(policy.module, config, seed) if config else None
    for name, weight in policy.module.named_parameters():
        weight.requires_grad_("_proj." in name)
    updater = Updater(policy.module, GRPO(GRPOConfig(kl=0)), adam(LEARNING_RATE), steps=1, masks=allowed)
    return task.accuracy_after(policy, updater, seed)


MINIATURE = Miniature(
    name="update_masks",
    claim=(
        "Training only weights that are small or off the principal directions does as well as training all, "
        "training only the principal ones does worse."
    ),
    source="The Path Not Taken, arXiv 2511.08567",
    setting=(
        f"{DESCRIPTION} Weights are stored in bfloat16 with float32 masters; only linear layers train, in "
        f"all arms; Adam at {LEARNING_RATE}. Principal: the largest half of the rank-{RANK} approximation of "
        "each matrix; safe: the smallest half of the matrix and what is not principal; random: as many "
        f"weights as the principal ones. Equal is within {MARGIN}."
    ),
    comparisons=(
        Comparison("accuracy, safe weights", "safe", "dense", "equal", MARGIN),
        Comparison("accuracy, principal weights", "principal", "safe", "below"),
        Comparison("accuracy, principal weights", "principal", "random", "below"),
    ),
    measure=measure,
    remark=(
        "The paper's direction does not show, and why is not known. What sets this policy apart: it was "
        "trained from nothing for 300 steps, where the paper's were pretrained, and its rate is 300 times "
        "theirs."
    ),
)
