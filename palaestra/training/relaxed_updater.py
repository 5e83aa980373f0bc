"""Steps of GRADE and GRADE-STE (arXiv 2601.11574): the gradient of a reward through a relaxed generation.

Shape suffixes: `_N` rollouts, `_T` generated tokens of each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from palaestra.core.errors import NothingToLearn, TrainingError
from palaestra.core.record import derive_seed
from palaestra.training.objectives.aggregation import Totals, aggregate
from palaestra.training.objectives.base import TokenBatch
from palaestra.training.objectives.relaxation import Relaxation
from palaestra.training.optimizer import Optimizer, OptimizerConfig
from palaestra.training.relaxed_rollouts import RelaxedRollouts, relaxed_rollouts
from palaestra.training.samples import packed

Reward = Callable[[RelaxedRollouts], Tensor]
"""Of each rollout, differentiable in the weights of its tokens: `rollouts.tokens.mixed(table_VE)` is what a
reward model of the same vocabulary reads, where `rollouts.mask_NT` is True. Shape (N,)."""


class RelaxedUpdater:
    """Owns the optimizer of one policy that learns from a differentiable reward.

    Args:
        module: the policy; it stays in evaluation mode.
        steps: how many optimizer steps the schedule spans.
        ends: tokens that end a rollout.
        reference: the frozen model of the KL term.

    Raises:
        TrainingError: the objective has a KL term and there is no reference.
    """

    def __init__(
        self,
        module: PreTrainedModel,
        objective: Relaxation,
        config: OptimizerConfig,
        steps: int,
        reward: Reward,
        max_tokens: int,
        ends: Sequence[int] = (),
        reference: PreTrainedModel | None = None,
        seed: int = 0,
    ) -> None:
        if "reference_kl_NT" in objective.needs and reference is None:
            raise TrainingError(
                "the objective has a KL term and needs a reference model; set kl to 0 or give one"
            )
        self.module = module
        self._objective = objective
        self._config = config
        self._reward = reward
        self._max_tokens = max_tokens
        self._ends = ends
        self._reference = reference if "reference_kl_NT" in objective.needs else None
        self._seed = seed
        self._steps_taken = 0
        trained = {name: weight for name, weight in module.named_parameters() if weight.requires_grad}
        self._optimizer = Optimizer(trained, config, steps)

    def update(self, prompts: Sequence[Sequence[int]]) -> dict[str, float]:
        """One optimizer step on a rollout of each prompt.

        Returns the mean reward, the temperature, the gradient norm, and the token means of what the objective
        tells. Rollouts and gradient are the same however many of them fit into one pass.

        Raises:
            NothingToLearn: there is no prompt.
            TrainingError: the reward is not one number for each rollout, has no gradient, or is not finite.
        """
        if not prompts:
            raise NothingToLearn("there is no prompt to generate from")
        metrics: dict[str, float] = defaultdict(float)
        metrics["learning_rate"] = self._optimizer.learning_rate
        metrics["temperature"] = self._objective.temperature(self._steps_taken)
        sums: dict[str, float] = defaultdict(float)
        for rows in packed(
            [len(prompt) + self._max_tokens for prompt in prompts], self._config.tokens_per_pass
        ):
            batch = self._pass(prompts, rows)
            loss_NT, observed = self._objective(batch)
            totals = Totals(tokens=0, sequences=len(prompts))
            loss = aggregate(loss_NT, batch.mask_NT, self._objective.aggregation, totals)
            loss.backward()
            metrics["loss"] += float(loss.detach())
            metrics["reward"] += float(batch.given("relaxed_reward_N").detach().sum()) / len(prompts)
            sums["tokens"] += int(batch.mask_NT.sum())
            for name, value_NT in observed.items():
                sums[name] += float(value_NT.where(batch.mask_NT, 0).sum())
        metrics |= {name: value / sums["tokens"] for name, value in sums.items() if name != "tokens"}
        metrics["gradient_norm"] = self._optimizer.step()
        self._steps_taken += 1
        return dict(metrics)

    def state_dict(self) -> dict[str, Any]:
        return {**self._optimizer.state_dict(), "steps_taken": self._steps_taken}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._optimizer.load_state_dict(state)
        self._steps_taken = state["steps_taken"]

    def _pass(self, prompts: Sequence[Sequence[int]], rows: Sequence[int]) -> TokenBatch:
        """Rollouts of some prompts with their rewards, as the objective reads them."""
        rollouts = relaxed_rollouts(
            self.module,
            [prompts[row] for row in rows],
            [derive_seed(self._seed, self._steps_taken, row) for row in rows],
            self._objective,
            self._steps_taken,
            self._max_tokens,
            self._ends,
            self._reference,
        )
        return TokenBatch(
            log_prob_NT=rollouts.log_prob_NT,
            entropy_NT=rollouts.entropy_NT,
            advantage_NT=torch.zeros_like(rollouts.log_prob_NT),
            mask_NT=rollouts.mask_NT,
            reference_kl_NT=rollouts.reference_kl_NT,
            relaxed_reward_N=self._checked(self._reward(rollouts), rows),
        )

    def _checked(self, reward_N: Tensor, rows: Sequence[int]) -> Tensor:
        if reward_N.shape != (len(rows),):
            raise TrainingError(
                f"the reward has shape {tuple(reward_N.shape)}; give one number for each of {len(rows)} "
                "rollouts"
            )
        if not reward_N.requires_grad:
            raise TrainingError(
                "the reward has no gradient; make it of tokens.mixed(…) of the rollouts, not of their ids"
            )
        if not reward_N.isfinite().all():
            raise TrainingError("a reward is not finite; look at the reward and at the rollouts")
        return reward_N
