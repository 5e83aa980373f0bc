"""What is imitated: methods whose loss is SFT's and that differ in the samples that are kept.

| method | sampled from | kept |
|---|---|---|
| SFT | a stronger model or people | all |
| Self-SFT | the initial policy, once | `correct` |
| Iterative-SFT | the current policy, anew each epoch | `correct` |
| RFT (arXiv 2308.01825) | the initial policy, many per task | `distinct_correct` |
| oracle SFT (arXiv 2509.04259) | the initial policy | `oracle`: its own distribution on what is right |
| Binary FeedME (arXiv 2305.14387) | labelled pairs | `preferred` |
| reward conditioning (same) | labelled pairs | `conditioned`: both, with a control token |
| best-of-n (same) | the policy, when answering | `best` by a reward model; nothing is trained |
| expert iteration (same) | the policy on unlabelled tasks | `best` of each task's 16, one round |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from palaestra.core.errors import TrainingError


class Imitation(NamedTuple):
    """A prompt with the answer to imitate."""

    prompt: str
    answer: str


class Labelled(NamedTuple):
    """A pair of answers with the place of the better one."""

    prompt: str
    answers: tuple[str, str]
    winner: int
    """0 or 1."""


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


def preferred(pairs: Sequence[Labelled]) -> list[Imitation]:
    """The better answer of each pair."""
    return [Imitation(pair.prompt, pair.answers[pair.winner]) for pair in pairs]


def conditioned(pairs: Sequence[Labelled], positive: str, negative: str) -> list[Imitation]:
    """Both answers of each pair, told apart by a control token before the prompt; ask with the first."""
    return [
        Imitation((positive if place == pair.winner else negative) + pair.prompt, answer)
        for pair in pairs
        for place, answer in enumerate(pair.answers)
    ]
