"""The reward of RLPR (arXiv 2506.18254): how probable the known answer became by a rollout's reasoning."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from palaestra.core.chat import TokenTrace
from palaestra.core.errors import ConfigError
from palaestra.core.record import Record
from palaestra.core.task import Task
from palaestra.models.device_thread import on_device
from palaestra.models.hf import HFModel
from palaestra.training.objectives.rlpr import debiased, probability_reward, with_format
from palaestra.training.optimizer import OptimizerConfig
from palaestra.training.rewards import Groups, Rewards
from palaestra.training.rollouts import conversation
from palaestra.training.samples import Sample
from palaestra.training.scoring import Scorer


class ReferenceRewardConfig(Record):
    marker: str = Field(default="Answer:", min_length=1)
    """What parts the reasoning from the answer in a rollout's text; a rollout is well formed when it has it
    exactly once."""


class ReferenceRewards:
    """0.9 · clip(r − r′, 0, 1), and 0.1 more for a well-formed rollout.

    r is the mean probability of the reference's tokens in the place of the rollout's own answer, under the
    policy at temperature 1, and r′ the same without reasoning. What never came to an answer has no reasoning.
    """

    def __init__(
        self, policy: HFModel, config: ReferenceRewardConfig, passes: OptimizerConfig, show_context: bool
    ) -> None:
        self._policy = policy
        self._marker = config.marker
        self._show_context = show_context
        self._scorer = Scorer(policy.module, 1.0, passes.tokens_per_pass, passes.logits_at_once)

    async def rewards(self, groups: Groups, tasks: Mapping[str, Task]) -> Rewards:
        """
        Raises:
            ConfigError: a task has no reference.
        """
        found: Rewards = {}
        for group, members in groups.items():
            reasonings = [member.answer.rpartition(self._marker)[0] for member in members]
            samples = [self._sample(tasks[group], reasoning) for reasoning in ("", *reasonings)]
            log_prob_NT, _ = await on_device(self._policy.module.device, self._scorer.statistics, samples)
            reward_N = self.reward(log_prob_NT, self._scorer.generated(samples)).cpu()
            well_formed_G = torch.tensor([member.answer.count(self._marker) == 1 for member in members])
            found[group] = with_format(debiased(reward_N[1:], reward_N[0]), well_formed_G).tolist()
        return found

    def reward(self, answer_log_prob_NT: Tensor, answer_mask_NT: Tensor) -> Tensor:
        """What is made of the reference's tokens; the paper's ablations make something else."""
        return probability_reward(answer_log_prob_NT, answer_mask_NT)

    def _sample(self, task: Task, reasoning: str) -> Sample:
        """The reference after some reasoning, as if the policy had answered it. Its tokens are found by their
        offsets in the whole text."""
        if task.reference is None:
            raise ConfigError(f"{task.id} has no reference answer, which reward=reference needs")
        prompt = self._policy.encode(conversation(task, self._show_context))
        before = f"{reasoning}{self._marker} "
        encoded = self._policy.tokenizer(
            before + task.reference, add_special_tokens=False, return_offsets_mapping=True
        )
        mask = (*(False for _ in prompt), *(end > len(before) for _, end in encoded["offset_mapping"]))
        ids = (*prompt, *encoded["input_ids"])
        return Sample(TokenTrace(ids=ids, log_probs=(0.0,) * len(ids), mask=mask), sampled=False)
