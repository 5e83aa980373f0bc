"""RLPR (arXiv 2506.18254): the reward is how probable the reference answer became by the reasoning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from pydantic import Field
from torch import Tensor

from palaestra.core.record import Record
from palaestra.training.advantages.groups import EPSILON, group_std
from palaestra.training.objectives.aggregation import sequence_mean
from palaestra.training.objectives.base import TokenBatch, TokenLoss
from palaestra.training.objectives.policy_gradient import Clipped, ClippedConfig, clipped_loss, token_ratio


class RLPRConfig(ClippedConfig):
    name: Literal["rlpr"] = "rlpr"
    clip_high: float = Field(default=0.27, ge=0)
    filter_share: float = Field(default=0.5, ge=0)
    """β: a prompt is dropped when its rewards deviate less than this share of the average; 0 drops none."""
    decay: float = Field(default=0.99, ge=0, lt=1)
    """Of the moving average of deviations."""
    average_from: int = Field(default=6, ge=1)
    """The batch at which the average starts."""
    filter_from: int = Field(default=11, ge=1)
    """The batch at which the filter starts."""


class RLPRState(Record):
    batches: int = 0
    deviation: float | None = None
    """The moving average of the groups' deviations; None before it started."""


@dataclass(frozen=True)
class RLPR(Clipped):
    config: RLPRConfig
    state: RLPRState = field(default_factory=RLPRState)

    def stored(self) -> dict[str, Any]:
        return self.state.model_dump()

    def restored(self, stored: Mapping[str, Any]) -> Self:
        return replace(self, state=RLPRState.model_validate(stored))

    @property
    def prepare_reads_policy(self) -> bool:
        return False

    def prepare(self, batch: TokenBatch) -> tuple[TokenBatch, Self]:
        """Advantages of all groups, without those whose deviation is far below what is usual."""
        deviation_N = group_std(batch.given("reward_N"), batch.given("group_N"))
        state = averaged(self.state, float(_mean_over_groups(deviation_N, batch)), self.config)
        prepared = batch.with_advantages(self.advantages(batch).masked_fill(deviation_N < EPSILON, 0))
        if state.deviation is not None and state.batches >= self.config.filter_from:
            prepared = prepared.keeping(deviation_N >= self.config.filter_share * state.deviation)
        return prepared, replace(self, state=state)

    def __call__(self, batch: TokenBatch) -> TokenLoss:
        """−min(ρA, clip(ρ)A), more room above than below; the mean over all tokens."""
        return clipped_loss(batch, token_ratio(batch), self.config)


def averaged(state: RLPRState, deviation: float, config: RLPRConfig) -> RLPRState:
    """One batch more, whose groups deviate by `deviation` on average, those to be dropped included."""
    batches = state.batches + 1
    if batches < config.average_from:
        return RLPRState(batches=batches)
    before = deviation if state.deviation is None else state.deviation
    return RLPRState(batches=batches, deviation=config.decay * before + (1 - config.decay) * deviation)


def probability_reward(answer_log_prob_NT: Tensor, answer_mask_NT: Tensor) -> Tensor:
    """The mean probability of the reference answer's tokens after each rollout's reasoning; 0 for none.

    The mean of probabilities, not of logarithms: one rare token does not decide. `answer_mask_NT` is True on
    the tokens of the reference, found by offsets after the spliced text was tokenized. In full precision:
    the released reward rounds to bf16, where small differences vanish.
    """
    return sequence_mean(answer_log_prob_NT.exp(), answer_mask_NT)


def debiased(reward_N: Tensor, reward_without_reasoning_N: Tensor) -> Tensor:
    """What the reasoning added: clip(r − r′, 0, 1)."""
    return (reward_N - reward_without_reasoning_N).clamp(min=0, max=1)


def with_format(reward_N: Tensor, well_formed_N: Tensor) -> Tensor:
    """0.9·r + 0.1 for rollouts that keep to the format."""
    return 0.9 * reward_N + 0.1 * well_formed_N.to(reward_N.dtype)


def _mean_over_groups(deviation_N: Tensor, batch: TokenBatch) -> Tensor:
    _, index_N, size_P = batch.given("group_N").unique(return_inverse=True, return_counts=True)
    share_N: Tensor = 1 / (size_P[index_N] * len(size_P))
    return (deviation_N * share_N).sum()
