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

CHUNK = 1024
"""Tokens whose logits are held at once: `CHUNK` × V numbers."""


class TokenStatistics(NamedTuple):
    log_prob_M: Tensor
    entropy_M: Tensor
    """Of the whole next-token distribution, in nats."""


def token_statistics(
    module: PreTrainedModel, ids_NT: Tensor, attention_NT: Tensor, select_NT: Tensor, temperature: float = 1.0
) -> TokenStatistics:
    """Statistics of the selected tokens, each under the distribution that its prefix gives.

    Rows of `ids_NT` are padded on the right. `select_NT` is True on the tokens to look at, never on the first
    of a row; the result has one entry per True, in row-major order. Unselected tokens cost no logits.
    Differentiable: in training the logits of a chunk are computed again in the backward pass.
    """
    hidden_NTH = module.base_model(
        input_ids=ids_NT, attention_mask=attention_NT, use_cache=False
    ).last_hidden_state
    before_MH = hidden_NTH[:, :-1][select_NT[:, 1:]]
    target_M = ids_NT[:, 1:][select_NT[:, 1:]]
    head = module.get_output_embeddings()
    parts = [
        checkpoint(
            _chunk_statistics, hidden_CH, target_C, head.weight, head.bias, temperature, use_reentrant=False
        )
        for hidden_CH, target_C in zip(before_MH.split(CHUNK), target_M.split(CHUNK), strict=True)
    ]
    return TokenStatistics(
        log_prob_M=torch.cat([log_prob_C for log_prob_C, _ in parts]),
        entropy_M=torch.cat([entropy_C for _, entropy_C in parts]),
    )


def _chunk_statistics(
    hidden_CH: Tensor, target_C: Tensor, weight_VH: nn.Parameter, bias_V: Tensor | None, temperature: float
) -> tuple[Tensor, Tensor]:
    logits_CV = linear(hidden_CH, weight_VH, bias_V).float() / temperature
    log_prob_CV = logits_CV.log_softmax(dim=-1)
    entropy_C = -(log_prob_CV.exp() * log_prob_CV).sum(dim=-1)
    return log_prob_CV.gather(-1, target_C[:, None]).squeeze(-1), entropy_C
