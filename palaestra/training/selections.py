"""Which rollouts of a group are trained on, and in which order: what tells methods of imitation apart.

| method | objective | selection | and |
|---|---|---|---|
| all of reinforcement learning | | all | |
| Iterative-SFT | sft | correct | rollouts of the current policy, anew in each step |
| Self-SFT | sft | correct | one step, many minibatches: rollouts of the start policy only |
| oracle SFT (arXiv 2509.04259) | sft | correct | likewise: rejection draws from `oracle` |
| RFT (arXiv 2308.01825) | sft | distinct-correct | likewise |
| expert iteration, Binary FeedME (arXiv 2305.14387) | sft | best | 16, or 2, rollouts per task, one step |
| reward conditioning (same) | sft | all | `conditioning`: each after words that tell its reward |
| DPO, SimPO on rankings | dpo, simpo | best-and-worst or all-pairs | |

Best-of-n trains nothing: see `best_of`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Literal

import torch
from torch import Tensor

from palaestra.core.errors import TrainingError

SelectionName = Literal["all", "correct", "distinct-correct", "best", "best-and-worst", "all-pairs"]
"""all: every rollout. correct: those with a reward above ½. distinct-correct: the first of each different
answer among these. best: the one with the highest reward. best-and-worst: a pair, none where all are equal.
all-pairs: every pair with different rewards."""

PAIRS: tuple[SelectionName, ...] = ("best-and-worst", "all-pairs")
"""Those that give the preferred and the other one by turns."""

IMITATED: tuple[SelectionName, ...] = ("correct", "distinct-correct", "best")
"""Those that keep what is worth to be imitated."""

Select = Callable[[Sequence[str], Sequence[float]], list[int]]
"""From answers and rewards of a group to the places of those to train on."""


def correct(rewards: Sequence[float], threshold: float = 0.5) -> list[int]:
    """The places of the samples with a reward above the threshold; none where the policy never succeeds."""
    return [place for place, reward in enumerate(rewards) if reward > threshold]


def distinct_correct(answers: Sequence[str], rewards: Sequence[float], threshold: float = 0.5) -> list[int]:
    """The first place of each different answer to one task that is correct."""
    first: dict[str, int] = {}
    for place in correct(rewards, threshold):
        first.setdefault(" ".join(answers[place].split()), place)
    return list(first.values())


def oracle(prob_V: Tensor, is_right_V: Tensor) -> Tensor:
    """q* ∝ π₀ on what is right: of all distributions without error the nearest to π₀.

    It minimises KL(q ‖ π₀), which is then −log π₀(right). The paper prints the other direction, which is
    infinite wherever π₀ can be wrong. Sampling from π₀ and keeping what is right gives the same.

    Raises:
        TrainingError: π₀ gives what is right no probability.
    """
    right_V = prob_V.where(is_right_V, 0)
    mass = right_V.sum(dim=-1, keepdim=True)
    if not bool((mass > 0).all()):
        raise TrainingError("the initial policy gives no right answer any probability; there is no oracle")
    return right_V / mass


def best(rewards: Sequence[float]) -> int:
    """The place of the highest reward, the first one among equals.

    Raises:
        TrainingError: there is no sample, or a reward is NaN.
    """
    reward_N = torch.tensor(rewards)
    if len(rewards) == 0 or bool(reward_N.isnan().any()):
        raise TrainingError(f"cannot take the best of the rewards {list(rewards)}; score every sample first")
    return int(reward_N.argmax())


def best_and_worst(rewards: Sequence[float]) -> list[int]:
    """The places of the highest and of the lowest reward; none where they are equal.

    Raises:
        TrainingError: there is no reward, or one is NaN.
    """
    first, last = best(rewards), best([-reward for reward in rewards])
    return [first, last] if rewards[first] > rewards[last] else []


def all_pairs(rewards: Sequence[float]) -> list[int]:
    """The places of both of each pair with different rewards, the better one first."""
    pairs = combinations(range(len(rewards)), 2)
    ordered = (sorted(pair, key=rewards.__getitem__, reverse=True) for pair in pairs)
    return [place for one, other in ordered if rewards[one] > rewards[other] for place in (one, other)]


SELECTIONS: Mapping[SelectionName, Select] = {
    "all": lambda answers, rewards: list(range(len(answers))),
    "correct": lambda answers, rewards: correct(rewards),
    "distinct-correct": distinct_correct,
    "best": lambda answers, rewards: [best(rewards)],
    "best-and-worst": lambda answers, rewards: best_and_worst(rewards),
    "all-pairs": lambda answers, rewards: all_pairs(rewards),
}
