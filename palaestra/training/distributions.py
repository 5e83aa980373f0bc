"""What objectives ask of whole next-token distributions, in chunks as everything over the vocabulary.

Shape suffixes: `_N` rollouts, `_T` tokens, `_M` selected tokens, `_C` those of one chunk, `_K` candidates,
`_H` hidden units, `_V` vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from transformers import PreTrainedModel

from palaestra.core.errors import TrainingError
from palaestra.models.log_probs import hidden_before, in_chunks, next_log_probs, tokens_at_once
from palaestra.training.objectives.divergence import kl
from palaestra.training.objectives.light_reasoner import contrastive_label, expertise
from palaestra.training.samples import Tokens


@dataclass(frozen=True)
class Mixture:
    """q ∝ Π p^weight over models with one vocabulary: one frozen model, or several. In SDPO's trust region
    this is the same as interpolating logits."""

    members: tuple[tuple[PreTrainedModel, float], ...]

    @torch.no_grad()
    def hidden(self, tokens: Tokens, select_NT: Tensor) -> tuple[Tensor, ...]:
        """Each member's hidden states before the selected tokens.

        Raises:
            TrainingError: a token is none that a member knows, though their tokenizer is the policy's.
        """
        largest = int(tokens.ids_NT.max())
        if any(largest >= module.get_output_embeddings().weight.shape[0] for module, _ in self.members):
            raise TrainingError(
                f"the policy drew token {largest}, which is but padding of its vocabulary and which the "
                "other model has not; take a policy and a teacher that are padded alike"
            )
        return tuple(
            hidden_before(module, tokens.ids_NT, tokens.attention_NT, select_NT) for module, _ in self.members
        )

    @torch.no_grad()
    def log_probs(self, hidden: tuple[Tensor, ...], temperature: float) -> Tensor:
        """After hidden states of every member. Shape (C, V)."""
        each = self._each(hidden, temperature)
        terms = [weight * log_prob for (_, weight), log_prob in zip(self.members, each, strict=True)]
        return terms[0] if len(terms) == 1 else torch.stack(terms).sum(dim=0).log_softmax(dim=-1)

    def _each(self, hidden: tuple[Tensor, ...], temperature: float) -> list[Tensor]:
        return [
            next_log_probs(module, hidden_CH, temperature)
            for (module, _), hidden_CH in zip(self.members, hidden, strict=True)
        ]

    def chosen(self, tokens: Tokens, temperature: float, logits: int) -> Tensor:
        """Log-probabilities of the generated tokens, in row-major order. Shape (M,)."""
        target_M = tokens.ids_NT[:, 1:][tokens.generated_NT[:, 1:]]

        def gather(target_C: Tensor, *hidden: Tensor) -> tuple[Tensor]:
            return (self.log_probs(hidden, temperature).gather(-1, target_C[:, None]).squeeze(-1),)

        hidden = self.hidden(tokens, tokens.generated_NT)
        with torch.no_grad():
            (log_prob_M,) = in_chunks(gather, tokens_at_once(self.members[0][0], logits), target_M, *hidden)
        return log_prob_M


@dataclass(frozen=True)
class ContrastiveLabels(Mixture):
    """v_C ∝ expert / amateur, on what the expert finds plausible (LightReasoner, arXiv 2510.07962).

    Both read the same token ids, and each place is the last real one of its prefix: the released code reads a
    pad position in short rows, and re-tokenizes for the amateur.
    """

    plausible: float
    """α, the least share of the expert's largest probability."""

    @classmethod
    def of(cls, expert: PreTrainedModel, amateur: PreTrainedModel, plausible: float) -> Self:
        return cls(((expert, 1.0), (amateur, -1.0)), plausible)

    @torch.no_grad()
    def log_probs(self, hidden: tuple[Tensor, ...], temperature: float) -> Tensor:
        expert_CV, amateur_CV = self._each(hidden, temperature)
        return contrastive_label(expert_CV, amateur_CV, self.plausible)

    @torch.no_grad()
    def expertise(self, tokens: Tokens, temperature: float, logits: int) -> Tensor:
        """KL(expert ‖ amateur) before each generated token, in row-major order. Shape (M,)."""

        def divergence(*hidden: Tensor) -> tuple[Tensor]:
            return (expertise(*self._each(hidden, temperature)),)

        hidden = self.hidden(tokens, tokens.generated_NT)
        (divergence_M,) = in_chunks(divergence, tokens_at_once(self.members[0][0], logits), *hidden)
        return divergence_M


Compare = Callable[[Tensor, Tensor], tuple[Tensor, ...]]
"""From the log-probabilities of the policy and of others to what is wanted of each token."""


def compared(
    compare: Compare,
    module: PreTrainedModel,
    before_MH: Tensor,
    other: Mixture,
    other_hidden: tuple[Tensor, ...],
    temperature: float,
    logits: int,
) -> tuple[Tensor, ...]:
    """What `compare` makes of the policy's next-token distributions, with gradient, and of the others'."""

    def both(hidden_CH: Tensor, *hidden: Tensor) -> tuple[Tensor, ...]:
        return compare(next_log_probs(module, hidden_CH, temperature), other.log_probs(hidden, temperature))

    return in_chunks(both, tokens_at_once(module, logits), before_MH, *other_hidden)


def kl_to(own_CV: Tensor, other_CV: Tensor) -> tuple[Tensor]:
    """KL(policy ‖ other), over the whole vocabulary. Shape (C,)."""
    return (kl(own_CV, other_CV),)


def kl_from(own_CV: Tensor, other_CV: Tensor) -> tuple[Tensor]:
    """KL(other ‖ policy), over the whole vocabulary. Shape (C,)."""
    return (kl(other_CV, own_CV),)


def candidates(own_CV: Tensor, other_CV: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The policy's `count` most probable tokens that both know, and what the other thinks of the same. Each
    of shape (C, K)."""
    known = min(own_CV.shape[-1], other_CV.shape[-1])
    own_CK, index_CK = own_CV[:, :known].topk(min(count, known), dim=-1)
    return own_CK, other_CV.gather(-1, index_CK)
