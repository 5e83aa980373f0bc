"""A value model: what return is to be expected from each token on."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from palaestra.models.log_probs import hidden_before
from palaestra.training.samples import Tokens


class Critic(nn.Module):
    """A copy of the policy with a number in place of the output head; it expects nothing at first."""

    def __init__(self, policy: PreTrainedModel) -> None:
        super().__init__()
        self._model = copy.deepcopy(policy).requires_grad_(True)
        width = policy.get_output_embeddings().weight.shape[1]
        self._head = nn.Linear(width, 1).to(policy.device)
        with torch.no_grad():
            self._head.weight.zero_()
            self._head.bias.zero_()

    def forward(self, tokens: Tokens, select_NT: Tensor) -> Tensor:
        """The value before each selected token. Shape (M,)."""
        before_MH = hidden_before(self._model, tokens.ids_NT, tokens.attention_NT, select_NT)
        value_M: Tensor = self._head(before_MH.float()).squeeze(-1)
        return value_M
