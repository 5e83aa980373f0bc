"""Where reinforcement learning moves weights, and what it reaches when it may move some of them only."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

import torch
from torch import Tensor

from benchmarks.miniatures.miniature import Comparison, Miniature
from benchmarks.miniatures.substitution import DESCRIPTION, Substitution, substitution
from benchmarks.miniatures.tiny_policy import adam, copied
from palaestra.models.tiny import TinyModel
from palaestra.training.objectives.grpo import GRPO, GRPOConfig
from palaestra.training.update_mask import UpdateMaskConfig, low_magnitude, masks, principal
from palaestra.training.updater import Updater

RANK, LEARNING_RATE, MARGIN = 8, 3e-4, 0.05
HALF, FURTHEST = 0.5, 0.1
"""Shares of a matrix: of its principal and of its small weights, and of those that moved furthest."""
ARMS: Mapping[str, UpdateMaskConfig | None] = {
    "dense": None,
    "safe": UpdateMaskConfig(parts=("low-magnitude", "not-principal"), rank=RANK),
    "principal": UpdateMaskConfig(parts=("principal",), rank=RANK),
    "random": UpdateMaskConfig(parts=("principal",), rank=RANK, shuffled=True),
}


def measure(seed: int) -> Mapping[str, float]:
    task = substitution(seed)
    figures = {"chance": HALF}
    for name, config in ARMS.items():
        policy = copied(task.start)
        policy.module.to(dtype=torch.bfloat16)
        before = {name: weight.clone() for name, weight in policy.module.state_dict().items()}
        allowed = masks(policy.module, config, seed) if config else None
        figures[name] = _accuracy(task, policy, allowed, seed)
        if config is None:
            figures |= _where_it_moved(policy, before)
    return figures


def _accuracy(
    task: Substitution, policy: TinyModel, allowed: Mapping[str, Tensor] | None, seed: int
) -> float:
    """Embeddings and norms stay as they are."""
    for name, weight in policy.module.named_parameters():
        weight.requires_grad_("_proj." in name)
    updater = Updater(policy.module, GRPO(GRPOConfig(kl=0)), adam(LEARNING_RATE), steps=1, masks=allowed)
    return task.accuracy_after(policy, updater, seed)


def _where_it_moved(policy: TinyModel, before: Mapping[str, Tensor]) -> Mapping[str, float]:
    """Of the weights that moved furthest, a tenth of each matrix: the shares that were principal and that
    were small when it began."""
    on_principal, on_small = [], []
    for name, weight in policy.module.named_parameters():
        if weight.requires_grad:
            start = before[name]
            distance = (weight.detach().float() - start.float()).abs()
            furthest = distance >= distance.quantile(1 - FURTHEST)
            on_principal.append(float(principal(start, RANK, HALF)[furthest].float().mean()))
            on_small.append(float(low_magnitude(start, HALF)[furthest].float().mean()))
    return {"moved principal": fmean(on_principal), "moved small": fmean(on_small)}


MINIATURE = Miniature(
    name="update_masks",
    claim=(
        "Updates keep off the principal weights. Training only weights that are small or not principal does "
        "as well as training all, training only the principal ones does worse."
    ),
    source="The Path Not Taken, arXiv 2511.08567",
    setting=(
        f"{DESCRIPTION} Weights are stored in bfloat16 with float32 masters; only linear layers train, in "
        f"all arms; Adam at {LEARNING_RATE}. Principal: the largest half of the rank-{RANK} approximation of "
        "each matrix; safe: the smallest half of the matrix and what is not principal; random: as many "
        f"weights as the principal ones. What moved furthest is a tenth of each matrix, when all weights "
        f"train; chance is {HALF}. Equal is within {MARGIN}."
    ),
    comparisons=(
        Comparison("share of what moved furthest on principal weights", "moved principal", "chance", "below"),
        Comparison("share of what moved furthest on small weights", "moved small", "chance"),
        Comparison("accuracy; safe weights beside all", "safe", "dense", "equal", MARGIN),
        Comparison("accuracy; principal weights beside safe ones", "principal", "safe", "below"),
        Comparison("accuracy; principal weights beside random ones", "principal", "random", "below"),
    ),
    measure=measure,
    remark=(
        "The first row tells why: what the paper's result rests on, that updates keep off the principal "
        "weights, is not so here. On a calibration seed the rate was not the cause: at 3e-5 the share on "
        "principal weights was 0.56, at 3e-4 0.57. The likely one is that a policy trained from nothing owes "
        "its principal directions to the very skill that is trained further. The first eight held 0.66 of a "
        "matrix's energy, 0.37 before any training, and 0.44 of the update's lay in their output directions, "
        "0.36 where imitation had taken 2000 steps and not 300; chance is 0.13 at most. The masks tell apart "
        "how fast a policy learns, not how far it comes: after 200 steps instead of 60 all four arms of that "
        "seed were between 0.506 and 0.510."
    ),
)
