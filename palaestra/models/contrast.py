"""The contrast of two next-token distributions: what a strong model likes and a weak one does not.

Contrastive decoding (arXiv 2210.15097) draws by it, LightReasoner (arXiv 2510.07962) learns its softmax.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad


def contrast(expert_log_prob_V: Tensor, amateur_log_prob_V: Tensor, plausible: float) -> Tensor:
    """log p_E − log p_A on {v : p_E(v) ≥ α·max p_E}, −∞ on the other tokens. Shape (…, V), V the expert's.

    The vocabularies may be padded to different sizes, as those of one family's models are; what the amateur
    has no row for is left out as well.
    """
    known = min(expert_log_prob_V.shape[-1], amateur_log_prob_V.shape[-1])
    expert_K, amateur_K = expert_log_prob_V[..., :known], amateur_log_prob_V[..., :known]
    implausible_K = expert_K < expert_K.amax(dim=-1, keepdim=True) + math.log(plausible)
    score_K = (expert_K - amateur_K).masked_fill(implausible_K, -torch.inf)
    return pad(score_K, (0, expert_log_prob_V.shape[-1] - known), value=-torch.inf)
