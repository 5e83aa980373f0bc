"""Answers that a policy did not draw, and what it thinks of them."""

import torch

from palaestra.core.chat import TokenTrace
from palaestra.models.log_probs import token_statistics
from palaestra.models.tiny import TinyModel
from palaestra.training.samples import Sample


def sample(policy: TinyModel, prompt: str, answer: str, reward: float = 0.0) -> Sample:
    """An answer that the policy did not draw."""
    before, after = policy.tokenizer.encode(prompt), policy.tokenizer.encode(answer)
    length = len(before) + len(after)
    mask = (False,) * len(before) + (True,) * len(after)
    return Sample(
        TokenTrace(ids=(*before, *after), log_probs=(0.0,) * length, mask=mask), reward, sampled=False
    )


def log_prob(policy: TinyModel, one: Sample) -> float:
    ids, mask = torch.tensor([one.trace.ids]), torch.tensor([one.trace.mask])
    with torch.no_grad():
        return token_statistics(policy.module, ids, torch.ones_like(ids), mask).log_prob_M.sum().item()


def parameters(module: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().float().flatten() for parameter in module.parameters()])
