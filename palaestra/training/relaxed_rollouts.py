"""Generation that a reward can be differentiated through (GRADE, arXiv 2601.11574).

Shape suffixes: `_N` rollouts, `_T` tokens of each (generated ones, or the prompt's where it is read), `_V`
vocabulary, `_H` hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import Embedding
from torch.nn.functional import pad
from transformers import DynamicCache, PreTrainedModel

from palaestra.core.errors import TrainingError
from palaestra.training.objectives.divergence import kl
from palaestra.training.objectives.relaxation import Relaxation, RelaxedToken


@dataclass(frozen=True)
class RelaxedRollouts:
    prompts: Sequence[Sequence[int]]
    tokens: RelaxedToken
    """What was generated, of shape (N, T, k); weights after a row's end are 0."""
    mask_NT: Tensor
    """True on the tokens of each row, the one that ends it included."""
    log_prob_NT: Tensor
    """Of the heaviest candidates under the policy; without gradient, as are the entropies."""
    entropy_NT: Tensor
    reference_kl_NT: Tensor | None
    """KL(policy ‖ reference), exact over the vocabulary, after the same relaxed tokens; carries the gradient,
    that through these tokens included. None without a reference."""


def relaxed_rollouts(
    module: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[int],
    objective: Relaxation,
    step: int,
    max_tokens: int,
    ends: Sequence[int] = (),
    reference: PreTrainedModel | None = None,
) -> RelaxedRollouts:
    """One rollout for each prompt, at the temperature that the objective has at this optimizer step.

    The embedding of a relaxed token is what the next one is predicted from, so that the gradient goes back
    through all of them, and memory grows with their number. A row is over after a token that is one of
    `ends`. What it is depends on its own seed, not on the rows beside it.

    Raises:
        TrainingError: the model does more to a token than look its embedding up, or to a hidden state than
            multiply it with the output head, so that mixtures of tokens would be read wrongly.
    """
    policy = _Reader(module, prompts)
    other = _Reader(reference, prompts) if reference is not None else None
    streams = [torch.Generator(module.device).manual_seed(seed) for seed in seeds]
    ends_M = torch.tensor(ends, dtype=torch.long, device=module.device)
    alive_N = torch.ones(len(prompts), dtype=torch.bool, device=module.device)
    token: RelaxedToken | None = None
    columns: list[tuple[Tensor, ...]] = []
    while len(columns) < max_tokens and alive_N.any():
        own_NV = policy.next_log_probs(token)
        other_NV = other.next_log_probs(token) if other else own_NV
        token = objective.relax(own_NV, _uniform(own_NV, streams), step)
        seen_NV = own_NV.detach()
        columns.append(
            (
                token.index_K,
                token.weight_K.where(alive_N[:, None], 0),
                alive_N,
                seen_NV.gather(-1, token.ids[:, None]).squeeze(-1).where(alive_N, 0),
                -(seen_NV.exp() * seen_NV).sum(dim=-1).where(alive_N, 0),
                kl(own_NV, other_NV).where(alive_N, 0),
            )
        )
        alive_N = alive_N & ~torch.isin(token.ids, ends_M)
    index_NTK, weight_NTK, mask_NT, log_prob_NT, entropy_NT, kl_NT = (
        torch.stack(values, dim=1) for values in zip(*columns, strict=True)
    )
    return RelaxedRollouts(
        prompts=prompts,
        tokens=RelaxedToken(index_NTK, weight_NTK),
        mask_NT=mask_NT,
        log_prob_NT=log_prob_NT,
        entropy_NT=entropy_NT,
        reference_kl_NT=kl_NT if other else None,
    )


class _Reader:
    """A model that has read prompts of any lengths, and reads on token by token."""

    def __init__(self, module: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> None:
        embedding = module.get_input_embeddings()
        softcapped = getattr(module.config, "final_logit_softcapping", None)
        if type(embedding) is not Embedding or softcapped:
            raise TrainingError(
                f"{type(module).__name__} scales its embeddings or caps its logits, which relaxed tokens do "
                "not go through; take a model that does neither, as Qwen3 and Llama"
            )
        width = max(map(len, prompts))
        padded = [[0] * (width - len(prompt)) + [*prompt] for prompt in prompts]
        read = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        self._module = module
        self._table_VH = embedding.weight
        self._prompt_NT = torch.tensor(padded, device=module.device)
        self._attention_NT = torch.tensor(read, device=module.device)
        self._cache = DynamicCache(config=module.config)

    def next_log_probs(self, token: RelaxedToken | None) -> Tensor:
        """After one more token; after the prompt where there is none yet. Shape (N, V)."""
        if token is None:
            embedding_NTH = self._table_VH[self._prompt_NT]
        else:
            embedding_NTH = token.mixed(self._table_VH)[:, None]
            self._attention_NT = pad(self._attention_NT, (0, 1), value=1)
        place_NT = (self._attention_NT.cumsum(dim=-1) - 1).clamp(min=0)
        hidden_NTH = self._module.base_model(
            inputs_embeds=embedding_NTH,
            attention_mask=self._attention_NT,
            position_ids=place_NT[:, -embedding_NTH.shape[1] :],
            past_key_values=self._cache,
            use_cache=True,
        ).last_hidden_state
        logits_NV = self._module.get_output_embeddings()(hidden_NTH[:, -1])
        log_prob_NV: Tensor = logits_NV.to(torch.promote_types(logits_NV.dtype, torch.float32)).log_softmax(
            -1
        )
        return log_prob_NV


def _uniform(like_NV: Tensor, streams: Sequence[torch.Generator]) -> Tensor:
    uniform_NV = torch.empty_like(like_NV)
    for row_V, stream in zip(uniform_NV, streams, strict=True):
        row_V.uniform_(generator=stream)
    return uniform_NV
