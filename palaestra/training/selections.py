"""Which rollouts of a group are trained on, and in which order: what tells methods of imitation apart.

| method | objective | selection | and |
|---|---|---|---|
| all of reinforcement learning | | all | |
| Iterative-SFT | sft | correct | rollouts of the current policy, anew in each step |
| Self-SFT | sft | correct | one step, many minibatches: rollouts of the start policy only |
| RFT (arXiv 2308.01825) | sft | distinct-correct | likewise |
| expert iteration, Binary FeedME (arXiv 2305.14387) | sft | best | 16, or 2, rollouts per task, one step |
| DPO, SimPO on rankings | dpo, simpo | best-and-worst or all-pairs | |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Literal

from palaestra.training.objectives.selection import best, correct, distinct_correct

SelectionName = Literal["all", "correct", "distinct-correct", "best", "best-and-worst", "all-pairs"]
"""all: every rollout. correct: those with a reward above ½. distinct-correct: the first of each different
answer among these. best: the one with the highest reward. best-and-worst: a pair, none where all are equal.
all-pairs: every pair with different rewards."""

PAIRS: tuple[SelectionName, ...] = ("best-and-worst", "all-pairs")
"""Those that give the preferred and the other one by turns."""

Select = Callable[[Sequence[str], Sequence[float]], list[int]]
"""From answers and rewards of a group to the places of those to train on."""


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
