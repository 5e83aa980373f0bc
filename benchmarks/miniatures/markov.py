"""A policy so small that the exact gradient of its expected reward is known, and a reward with a gradient."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import Qwen3Config, Qwen3ForCausalLM

from benchmarks.miniatures.tiny_policy import adam
from palaestra.core.chat import TokenTrace
from palaestra.core.record import derive_seed
from palaestra.models.log_probs import next_log_probs
from palaestra.training.objectives.sft import SFT
from palaestra.training.relaxed_rollouts import RelaxedRollouts
from palaestra.training.samples import Sample
from palaestra.training.updater import Updater

TOKENS, PROMPT, LENGTH = 12, 3, 4
"""Of the vocabulary, of a prompt, and of what is generated."""
PROMPTS, ROLLOUTS = 4, 8
"""Prompts, and rollouts of each."""
WARM_STEPS = 200
ARCHITECTURE = Qwen3Config(
    vocab_size=TOKENS,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=2,
    head_dim=16,
)


@dataclass(frozen=True)
class Setting:
    policy: Qwen3ForCausalLM
    prompts: Sequence[Sequence[int]]
    """Each of them once for each rollout."""
    table_VE: Tensor
    head: nn.Module

    def reward(self, read_NTE: Tensor) -> Tensor:
        """Of embedded tokens: the mean of their places, then a frozen network, as in the paper."""
        reward_N: Tensor = self.head(read_NTE.mean(dim=1)).squeeze(-1).sigmoid()
        return reward_N

    def of_rollouts(self, rollouts: RelaxedRollouts) -> Tensor:
        return self.reward(rollouts.tokens.mixed(self.table_VE))

    def gradient(self, value: Tensor) -> Tensor:
        parts = torch.autograd.grad(value, list(self.policy.parameters()))
        return torch.cat([part.flatten() for part in parts])

    def expected_reward(self) -> Tensor:
        """Exact: over all sequences, the mean over prompts."""
        prefix_MT = torch.tensor(list(itertools.product(range(TOKENS), repeat=LENGTH - 1)))
        last_V1 = torch.arange(TOKENS)[:, None]
        ids_ST = torch.cat([prefix_MT.repeat_interleave(TOKENS, 0), last_V1.repeat(len(prefix_MT), 1)], dim=1)
        reward_S = self.reward(self.table_VE[ids_ST])
        values = []
        for prompt in self.prompts[::ROLLOUTS]:
            read = torch.cat([torch.tensor(prompt).expand(len(prefix_MT), -1), prefix_MT], dim=1)
            hidden_MTH = self.policy.base_model(read).last_hidden_state[:, PROMPT - 1 :]
            log_prob_MTV = next_log_probs(self.policy, hidden_MTH, 1.0)
            first_M = log_prob_MTV[:, :-1].gather(-1, prefix_MT[..., None]).sum(dim=(1, 2))
            log_prob_S = (first_M[:, None] + log_prob_MTV[:, -1]).flatten()
            values.append((log_prob_S.exp() * reward_S).sum())
        return torch.stack(values).mean()


def markov_setting(seed: int) -> Setting:
    """A policy that has learnt to write a random Markov chain, and a random reward."""
    stream = torch.Generator().manual_seed(derive_seed(seed, "setting"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "weights"))
        policy = Qwen3ForCausalLM(ARCHITECTURE).eval()
        head = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1)).requires_grad_(False)
    for weight in head.parameters():
        if weight.dim() == 2:
            weight.mul_(4)  # rewards from near 0 to near 1
    transition_VV = (1.5 * torch.randn(TOKENS, TOKENS, generator=stream)).softmax(dim=-1)
    mask = (False,) + (True,) * (PROMPT + LENGTH - 1)
    updater = Updater(policy, SFT(), adam(3e-3), WARM_STEPS)
    for _ in range(WARM_STEPS):
        chains = _chains(transition_VV, 64, len(mask), stream)
        traces = [TokenTrace(ids=tuple(ids), log_probs=(0.0,) * len(ids), mask=mask) for ids in chains]
        updater.update([Sample(trace, sampled=False) for trace in traces])
    prompts = _chains(transition_VV, PROMPTS, PROMPT, stream)
    repeated = [prompt for prompt in prompts for _ in range(ROLLOUTS)]
    return Setting(policy, repeated, torch.randn(TOKENS, 8, generator=stream), head)


def _chains(transition_VV: Tensor, count: int, length: int, stream: torch.Generator) -> list[list[int]]:
    columns = [torch.randint(TOKENS, (count,), generator=stream)]
    while len(columns) < length:
        columns.append(transition_VV[columns[-1]].multinomial(1, generator=stream).squeeze(-1))
    chains: list[list[int]] = torch.stack(columns, dim=1).tolist()
    return chains
