"""What every objective takes and gives.

Shape suffixes: `_N` rollouts, `_T` tokens, `_K` candidates for one token. An objective is a pure function of
these tensors: no model, no I/O and no settings that belong to another objective.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, Self, cast

from torch import Tensor

from palaestra.core.errors import TrainingError
from palaestra.training.objectives.aggregation import Aggregation

Need = Literal[
    "old_log_prob_NT",
    "live_entropy_NT",
    "sampler_log_prob_NT",
    "reference_log_prob_NT",
    "reference_kl_NT",
    "teacher_log_prob_NT",
    "candidate_log_prob_NTK",
    "teacher_candidate_log_prob_NTK",
    "teacher_kl_NT",
    "value_NT",
    "relaxed_reward_N",
]
"""Fields of a batch that cost a forward pass or a model, and are filled in for who asks."""

TAUGHT: frozenset[Need] = frozenset(
    {"teacher_log_prob_NT", "teacher_candidate_log_prob_NTK", "teacher_kl_NT"}
)
"""Those that take a teacher."""

Prepared = Literal["reward_N", "group_N", "family_N", "old_value_NT", "return_NT"]
"""Fields that are there in `prepare` without asking, or that it fills in for the passes."""


@dataclass(frozen=True)
class TokenBatch:
    """Per-token quantities; entries where `mask_NT` is False are 0 and mean nothing.

    A row whose mask is False throughout has been dropped: it counts neither as a sequence nor with tokens.
    """

    log_prob_NT: Tensor
    """Under the policy that is being updated; carries the gradient."""
    entropy_NT: Tensor
    """Of the policy's whole next-token distribution, in nats; carries no gradient."""
    advantage_NT: Tensor
    mask_NT: Tensor
    """True on generated tokens."""
    old_log_prob_NT: Tensor | None = None
    """Under the policy before the first optimizer step on this batch, by the trainer's own account."""
    live_entropy_NT: Tensor | None = None
    """The entropy again; carries the gradient."""
    sampler_log_prob_NT: Tensor | None = None
    """Under what the rollouts were drawn from, by the sampler's account; maybe of several weight versions."""
    reference_log_prob_NT: Tensor | None = None
    """Under the frozen reference."""
    reference_kl_NT: Tensor | None = None
    """KL(policy ‖ reference), exact over the vocabulary; carries the gradient."""
    teacher_log_prob_NT: Tensor | None = None
    """Of the same tokens under a teacher, which may have seen another prompt."""
    candidate_log_prob_NTK: Tensor | None = None
    """The policy's, of several candidates for each token; carries the gradient."""
    teacher_candidate_log_prob_NTK: Tensor | None = None
    """The teacher's, of the same candidates; -inf where it gives one no probability."""
    teacher_kl_NT: Tensor | None = None
    """KL(teacher ‖ policy), exact over the vocabulary; carries the gradient."""
    value_NT: Tensor | None = None
    """A value model's estimate of the return from each token on; carries the gradient."""
    old_value_NT: Tensor | None = None
    """The same before the first optimizer step."""
    return_NT: Tensor | None = None
    """What the value model should have said."""
    relaxed_reward_N: Tensor | None = None
    """A differentiable reward of a relaxed generation; carries the gradient."""
    reward_N: Tensor | None = None
    """Of each rollout; with the next two what advantages are made of."""
    group_N: Tensor | None = None
    """Integers; equal for rollouts of one prompt."""
    family_N: Tensor | None = None
    """Integers; equal for rollouts of one task family."""

    def given(self, name: Need | Prepared) -> Tensor:
        """An optional quantity that must be there.

        Raises:
            TrainingError: it is not.
        """
        value = getattr(self, name)
        if value is None:
            raise TrainingError(f"the objective reads {name}, which this batch does not have; fill it in")
        return cast(Tensor, value)

    def with_advantages(self, advantage_N: Tensor) -> Self:
        """Each rollout's advantage on all of its tokens."""
        return replace(self, advantage_NT=advantage_N[:, None].where(self.mask_NT, 0))

    def keeping(self, keep_N: Tensor) -> Self:
        """The batch with the other rows dropped."""
        return replace(self, mask_NT=self.mask_NT & keep_N[:, None])


class TokenLoss(NamedTuple):
    loss_NT: Tensor
    metrics: Mapping[str, Tensor]
    """Per-token (`_NT`) quantities to log; the updater reports their mean over generated tokens."""

    def plus(self, loss_NT: Tensor, **metrics: Tensor) -> TokenLoss:
        """With another term and what is to be logged of it."""
        return TokenLoss(self.loss_NT + loss_NT, {**self.metrics, **metrics})


class Objective(ABC):
    """An immutable value; one that keeps state is replaced by its successor after each batch."""

    @property
    def needs(self) -> Collection[Need]:
        """What it reads beside the policy's own log-probabilities, entropies and the advantages."""
        return set()

    @property
    def aggregation(self) -> Aggregation:
        """How the token losses add up to the loss of a batch."""
        return "token-mean"

    @property
    def rows_together(self) -> int:
        """So many successive rows belong together and must not be split over passes: 2 for pairs."""
        return 1

    @property
    def is_weighted_by_advantage(self) -> bool:
        """Whether a token of advantage 0 adds neither loss nor gradient, so that it need not be computed."""
        return False

    @property
    def prepare_reads_policy(self) -> bool:
        """Whether `prepare` looks at log-probabilities or entropies, which cost a pass over the batch. One
        that is not the common one is taken to, unless its objective says otherwise."""
        return type(self).prepare is not Objective.prepare

    @property
    def candidate_count(self) -> int:
        """Of objectives that compare with a teacher: how many of the policy's most probable tokens."""
        return 0

    def stored(self) -> dict[str, Any]:
        """The state that a resumed run needs to go on exactly, as JSON values; most objectives have none."""
        return {}

    def restored(self, stored: Mapping[str, Any]) -> Self:
        """The objective with a state that was stored."""
        return self

    def prepare(self, batch: TokenBatch) -> tuple[TokenBatch, Self]:
        """Called once with each batch of rollouts, whole and without gradient, before the first step on it.

        The place for all that looks at more than one rollout: advantages, filters, controllers.
        `log_prob_NT` and `entropy_NT` are the old policy's here; NaN if `prepare_reads_policy` is False.
        Returns the batch to train on and the objective that the next batch is to be prepared with.
        """
        return batch, self

    @abstractmethod
    def __call__(self, batch: TokenBatch) -> TokenLoss:
        """The loss of a part of the prepared batch: some of its rows, with gradient."""
