"""The rules from rewards to advantages, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from torch import Tensor

from palaestra.training.advantages.groups import checked
from palaestra.training.advantages.rank import rank_scaled
from palaestra.training.advantages.rewards import (
    batch_standardised,
    correct,
    group_centred,
    group_standardised,
    leave_one_out,
    signed,
    task_standardised,
)

AdvantageName = Literal[
    "group-standardised",
    "group-centred",
    "leave-one-out",
    "batch-standardised",
    "task-standardised",
    "rank-scaled",
    "signed",
    "correct",
    "reward",
]
"""group-standardised: (r − mean) / std of the group (GRPO, ArenaRL).
group-centred: r − mean of the group (Dr. GRPO).
leave-one-out: r − mean of the others of the group (RLOO).
batch-standardised: (r − mean) / std of the batch (REINFORCE++).
task-standardised: (r − mean of the group) / std of the task family (QwenLong-L1.5).
rank-scaled: (r − mean of the group) / the deviation of strict ranks; for posterior-weighted ranks.
signed: +1 or −1 (PSR, NSR). correct: 1 or 0. reward: the reward itself."""

_RULES: Mapping[AdvantageName, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "group-standardised": lambda reward_N, group_N, family_N: group_standardised(reward_N, group_N),
    "group-centred": lambda reward_N, group_N, family_N: group_centred(reward_N, group_N),
    "leave-one-out": lambda reward_N, group_N, family_N: leave_one_out(reward_N, group_N),
    "batch-standardised": lambda reward_N, group_N, family_N: batch_standardised(reward_N),
    "task-standardised": task_standardised,
    "rank-scaled": lambda reward_N, group_N, family_N: rank_scaled(reward_N, group_N),
    "signed": lambda reward_N, group_N, family_N: signed(reward_N),
    "correct": lambda reward_N, group_N, family_N: correct(reward_N),
    "reward": lambda reward_N, group_N, family_N: checked(reward_N),
}


def advantages(name: AdvantageName, reward_N: Tensor, group_N: Tensor, family_N: Tensor) -> Tensor:
    """One advantage for each rollout; groups and families are told by equal integers.

    Raises:
        TrainingError: there are no rewards, or one is not finite.
    """
    return _RULES[name](reward_N, group_N, family_N)
