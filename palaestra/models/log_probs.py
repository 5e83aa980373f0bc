"""Log-probabilities and entropies of given tokens, without ever holding all logits.

Shape suffixes: `_N` sequences, `_T` tokens, `_M` selected tokens of the batch, `_C` tokens of one chunk,
`_H` hidden units, `_V` vocabulary.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

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
    hidden_NTH = module.base_model(
        input_ids=ids_NT, attention_mask=attention_NT, use_cache=False
    ).last_hidden_state
    before_MH = hidden_NTH[:, :-1][select_NT[:, 1:]]
    target_M = ids_NT[:, 1:][select_NT[:, 1:]]
    head = module.get_output_embeddings()
    tokens = max(1, logits // head.weight.shape[0])
    if len(target_M) <= tokens:
        return _statistics(before_MH, target_M, head.weight, head.bias, temperature)
    chunks = [
        checkpoint(_statistics, hidden_CH, target_C, head.weight, head.bias, temperature, use_reentrant=False)
        for hidden_CH, target_C in zip(before_MH.split(tokens), target_M.split(tokens), strict=True)
    ]
    return TokenStatistics(*(torch.cat(values) for values in zip(*chunks, strict=True)))


def _statistics(
    hidden_CH: Tensor, target_C: Tensor, weight_VH: nn.Parameter, bias_V: Tensor | None, temperature: float
) -> TokenStatistics:
    logits_CV = linear(hidden_CH, weight_VH, bias_V).float() / temperature
    log_prob_CV = logits_CV.log_softmax(dim=-1)
    return TokenStatistics(
        log_prob_M=log_prob_CV.gather(-1, target_C[:, None]).squeeze(-1),
        entropy_M=-(log_prob_CV.exp() * log_prob_CV).sum(dim=-1),
    )
