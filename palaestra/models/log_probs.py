"""Log-probabilities and entropies of given tokens, without ever holding all logits.

Shape suffixes: `_N` sequences, `_T` tokens, `_M` selected tokens of the batch, `_C` tokens of one chunk,
`_H` hidden units, `_V` vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from palaestra.models.shared_prompts import SharedPrompts, at, hidden_after_prompts, keeps_all

LOGITS = 1 << 27
"""Logits that are held at once: 512 MiB in float32."""


class TokenStatistics(NamedTuple):
    log_prob_M: Tensor
    entropy_M: Tensor
    """Of the whole next-token distribution, in nats."""


def token_statistics(
    module: PreTrainedModel,
    ids_NT: Tensor,
    attention_NT: Tensor,
    select_NT: Tensor,
    temperature: float = 1.0,
    logits: int = LOGITS,
) -> TokenStatistics:
    """Statistics of the selected tokens, each under the distribution that its prefix gives.

    Rows of `ids_NT` are padded on the right. `select_NT` is True on the tokens to look at, never on the first
    of a row; the result has one entry per True, in row-major order. Unselected tokens cost no logits. The
    selected ones are cut into chunks of at most `logits` numbers; where there are several, the backward pass
    computes their logits again instead of keeping them.
    """
    before_MH = hidden_before(module, ids_NT, attention_NT, select_NT)
    return statistics_after(module, before_MH, ids_NT[:, 1:][select_NT[:, 1:]], temperature, logits)


def hidden_before(module: PreTrainedModel, ids_NT: Tensor, attention_NT: Tensor, select_NT: Tensor) -> Tensor:
    """The last hidden state from which each selected token is predicted. Shape (M, H).

    What comes before a row's first selected token is its prompt; rows of one prompt have it read once.
    """
    # The prompt's last token predicts the first one selected, so it is where the rest of the row begins.
    lengths = (select_NT.int().argmax(dim=1) - 1).clamp(min=0).tolist()
    prompts = [ids[:length] for ids, length in zip(ids_NT.tolist(), lengths, strict=True)]
    shared = SharedPrompts.of(prompts, ids_NT.device)
    if shared.saved and keeps_all(module):
        place_NB = shared.places_after(attention_NT)
        hidden_NTH = hidden_after_prompts(module, shared, ids_NT, attention_NT, place_NB)
        select_NT = at(select_NT, place_NB)
    else:
        hidden_NTH = module.base_model(
            input_ids=ids_NT, attention_mask=attention_NT, use_cache=False
        ).last_hidden_state
    before_MH: Tensor = hidden_NTH[:, :-1][select_NT[:, 1:]]
    return before_MH


def statistics_after(
    module: PreTrainedModel,
    before_MH: Tensor,
    target_M: Tensor,
    temperature: float,
    logits: int = LOGITS,
    *,
    live_entropy: bool = False,
) -> TokenStatistics:
    """Statistics of tokens whose prefixes have these last hidden states; the entropy carries the gradient if
    it is to be live."""

    def statistics(hidden_CH: Tensor, target_C: Tensor) -> TokenStatistics:
        log_prob_CV = next_log_probs(module, hidden_CH, temperature)
        # What the backward pass keeps for these is as large as the logits.
        with torch.set_grad_enabled(live_entropy and torch.is_grad_enabled()):
            entropy_C = -(log_prob_CV.exp() * log_prob_CV).sum(dim=-1)
        return TokenStatistics(log_prob_CV.gather(-1, target_C[:, None]).squeeze(-1), entropy_C)

    return TokenStatistics(*in_chunks(statistics, tokens_at_once(module, logits), before_MH, target_M))


def next_log_probs(module: PreTrainedModel, hidden_CH: Tensor, temperature: float) -> Tensor:
    """The next-token distribution after each of these hidden states, in float32. Shape (C, V)."""
    head = module.get_output_embeddings()
    return (linear(hidden_CH, head.weight, head.bias).float() / temperature).log_softmax(dim=-1)


def tokens_at_once(module: PreTrainedModel, logits: int) -> int:
    """How many tokens have at most so many logits together; one at least."""
    vocabulary: int = module.get_output_embeddings().weight.shape[0]
    return max(1, logits // vocabulary)


def in_chunks(
    function: Callable[..., tuple[Tensor, ...]], tokens: int, *values_M: Tensor
) -> tuple[Tensor, ...]:
    """What `function` gives for all tokens, called with at most so many at once.

    Where there are several calls, the backward pass makes them again instead of keeping what they computed.
    """
    if len(values_M[0]) <= tokens:
        return function(*values_M)
    parts = zip(*(value_M.split(tokens) for value_M in values_M), strict=True)
    chunks = [checkpoint(function, *part, use_reentrant=False) for part in parts]
    return tuple(torch.cat(values) for values in zip(*chunks, strict=True))
