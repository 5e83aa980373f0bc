"""`algorithm.adv_estimator=arena-rank`: ArenaRL's advantages (arXiv 2601.06487) for verl."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from verl.trainer.ppo.core_algos import register_adv_est

from palaestra.core.ranking import rank_by
from palaestra.training.advantages.rank import rank_advantages


@register_adv_est("arena-rank")  # type: ignore[untyped-decorator] # verl has no types
def rank_estimator(
    token_level_rewards: Tensor, response_mask: Tensor, index: np.ndarray, **_: Any
) -> tuple[Tensor, Tensor]:
    """Rank the responses of each group by their summed rewards; ties share.

    Whatever scores them, a tournament or a model, only the order counts. `index` is equal for responses to
    one prompt. Returns advantages and returns, which are the same, of the shape of `response_mask`.
    """
    rewards = token_level_rewards.sum(dim=-1).tolist()
    advantage_N = torch.zeros(len(rewards), device=response_mask.device)
    for group in dict.fromkeys(index.tolist()):
        members = [row for row, name in enumerate(index.tolist()) if name == group]
        ranks = rank_by({str(row): rewards[row] for row in members})
        advantages = rank_advantages([ranks[str(row)] for row in members])
        advantage_N[members] = advantages.to(advantage_N.device)
    advantage_NT = advantage_N[:, None] * response_mask
    return advantage_NT, advantage_NT
