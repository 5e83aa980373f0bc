"""One optimizer step after another: token log-probabilities, the objective, the gradient.

Shape suffixes: `_N` rollouts, `_T` generated tokens of each (prompt and tool output take no place), `_K`
candidates for one token, `_M` selected tokens of a pass.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from palaestra.core.errors import NothingToLearn, TrainingError
from palaestra.models.log_probs import hidden_before, statistics_after
from palaestra.training.critic import Critic
from palaestra.training.distributions import Mixture, candidates, compared, kl_from, kl_to
from palaestra.training.objectives.aggregation import Totals, aggregate
from palaestra.training.objectives.base import TAUGHT, Objective, TokenBatch
from palaestra.training.optimizer import Optimizer, OptimizerConfig
from palaestra.training.samples import Sample, Tokens, collate, lengths_to_pack, packed
from palaestra.training.scoring import Scorer, sampler_metrics
from palaestra.training.teacher import Teacher


class Updater:
    """Owns the optimizer of one policy, and the objective with its state.

    Args:
        module: the policy; it stays in evaluation mode, so that dropout never makes a ratio differ from 1.
        reference: the frozen model of KL terms.
        temperature: of the rollouts; log-probabilities are taken under what was sampled from.
        steps: how many optimizer steps the schedule spans.
        masks: which weights may move, by parameter; see `update_mask`.

    Raises:
        TrainingError: the objective reads what nobody gives it.
    """

    def __init__(
        self,
        module: PreTrainedModel,
        objective: Objective,
        config: OptimizerConfig,
        steps: int,
        temperature: float = 1.0,
        reference: PreTrainedModel | None = None,
        teacher: Teacher | None = None,
        masks: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.module = module
        self._needs = set(objective.needs)
        self._objective = objective
        self._config = config
        self._temperature = temperature
        self._reference = Mixture(((reference, 1.0),)) if reference is not None else None
        self._teacher = teacher
        self._refuse_missing()
        self._critic = Critic(module) if "value_NT" in self._needs else None
        weights = dict(module.named_parameters())
        if self._critic is not None:
            weights |= {f"critic.{name}": weight for name, weight in self._critic.named_parameters()}
        trained = {name: weight for name, weight in weights.items() if weight.requires_grad}
        self._optimizer = Optimizer(trained, config, steps, masks)
        self._scorer = Scorer(module, temperature, config.tokens_per_pass, config.logits_at_once)

    def update(self, samples: Sequence[Sample], minibatches: int = 1) -> dict[str, float]:
        """One pass over `samples` in `minibatches` optimizer steps.

        Returns the token means of the objective's metrics, the gradient norm, and of what was sampled the gap
        between the sampler's log-probabilities and the trainer's own, from which the ratio is computed, and
        the effective sample size that it leaves. The learning rate is that of the first step.

        Raises:
            NothingToLearn: no token is left to learn from, or none has an advantage. The objective's state
                has moved on all the same.
            TrainingError: a gradient is not finite, or sampler and trainer do not agree on the policy.
        """
        if not samples:
            raise NothingToLearn("there is no sample to learn from")
        metrics: dict[str, float] = defaultdict(float)
        metrics["learning_rate"] = self._optimizer.learning_rate
        batch, self._objective = self._objective.prepare(self._before(samples))
        kept = batch.mask_NT.any(dim=-1).nonzero().flatten().tolist()
        if not kept:
            raise NothingToLearn(f"the objective kept none of {len(samples)} samples")
        active_NT = self._active(batch)
        if not active_NT.any():
            raise NothingToLearn(f"all advantages of {len(kept)} samples are 0")
        together = self._objective.rows_together
        size = math.ceil(len(kept) / together / minibatches) * together
        batch = self._with_old_policy(batch, samples, kept[size:])
        for start in range(0, len(kept), size):
            rows = kept[start : start + size]
            self._step(samples, batch, active_NT, rows, metrics, weight=len(rows) / len(kept))
        return dict(metrics)

    def state_dict(self) -> dict[str, Any]:
        return {
            **self._optimizer.state_dict(),
            "objective": self._objective.stored(),
            "teacher": self._teacher.state_dict() if self._teacher else {},
            "critic": self._critic.state_dict() if self._critic else {},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._optimizer.load_state_dict(state)
        self._objective = self._objective.restored(state["objective"])
        if self._teacher:
            self._teacher.load_state_dict(state["teacher"])
        if self._critic:
            self._critic.load_state_dict(state["critic"])

    def _refuse_missing(self) -> None:
        if self._needs & {"reference_log_prob_NT", "reference_kl_NT"} and self._reference is None:
            raise TrainingError(
                "the objective has a KL term and needs a reference model; set kl to 0 or give one"
            )
        if self._needs & TAUGHT and self._teacher is None:
            raise TrainingError("the objective learns from a teacher and none is given; give one")
        if "relaxed_reward_N" in self._needs:
            raise TrainingError(
                "the objective differentiates a reward through a relaxed generation, which sampled tokens "
                "are not; take a RelaxedUpdater"
            )

    def _before(self, samples: Sequence[Sample]) -> TokenBatch:
        """What is known of the samples before the first step on them, without gradient.

        Log-probabilities and entropies are NaN unless the objective prepares by them.
        """
        scorer, device = self._scorer, self.module.device
        generated_NT = scorer.generated(samples)
        nothing_NT = torch.zeros(generated_NT.shape, device=device)
        log_prob_NT = entropy_NT = nothing_NT.masked_fill(generated_NT, torch.nan)
        if self._objective.prepare_reads_policy:
            log_prob_NT, entropy_NT = scorer.statistics(samples)
        batch = TokenBatch(
            log_prob_NT=log_prob_NT,
            entropy_NT=entropy_NT,
            advantage_NT=nothing_NT,
            mask_NT=generated_NT,
            old_log_prob_NT=log_prob_NT,
            sampler_log_prob_NT=scorer.sampler_log_probs(samples, log_prob_NT),
            reward_N=torch.tensor([sample.reward for sample in samples], device=device),
            group_N=torch.tensor([sample.group for sample in samples], device=device),
            family_N=torch.tensor([sample.family for sample in samples], device=device),
        )
        return self._with_others(batch, samples)

    def _with_old_policy(
        self, batch: TokenBatch, samples: Sequence[Sample], later: Sequence[int]
    ) -> TokenBatch:
        """The batch with the old policy's log-probabilities of rows whose minibatch comes after a step; of
        rows that were not sampled they are the sampler's as well.

        Those of the first minibatch are what its own passes find: until the first step the policy is the old
        one, and the ratio is exactly 1.
        """
        old_NT = batch.given("old_log_prob_NT").clone()
        if later and old_NT.isnan().any() and self._needs & {"old_log_prob_NT", "sampler_log_prob_NT"}:
            log_prob_NT, _ = self._scorer.statistics([samples[row] for row in later])
            old_NT[later, : log_prob_NT.shape[1]] = log_prob_NT
        sampler_NT = _known(batch.given("sampler_log_prob_NT"), old_NT)
        return replace(batch, old_log_prob_NT=old_NT, sampler_log_prob_NT=sampler_NT)

    def _with_others(self, batch: TokenBatch, samples: Sequence[Sample]) -> TokenBatch:
        """What other models say of the samples, as far as the objective asks."""
        if "reference_log_prob_NT" in self._needs and self._reference:
            batch = replace(batch, reference_log_prob_NT=self._scorer.chosen(samples, self._reference))
        if self._critic:
            batch = replace(batch, value_NT=self._scorer.values(samples, self._critic))
        if self._teacher is None:
            return batch
        told_N = [not self._teacher.is_self or sample.told_prompt is not None for sample in samples]
        told_N1 = torch.tensor(told_N, device=self.module.device)[:, None]
        if "teacher_log_prob_NT" in self._needs:
            taught = [sample.as_told() for sample in samples]
            teacher_NT = self._scorer.chosen(taught, self._teacher.distribution)
            batch = replace(batch, teacher_log_prob_NT=teacher_NT.where(told_N1, batch.log_prob_NT))
        if "teacher_candidate_log_prob_NTK" in self._needs:
            batch = batch.keeping(told_N1[:, 0])
        return batch

    def _active(self, batch: TokenBatch) -> Tensor:
        """The tokens that must be computed: those of weight 0 are skipped, not multiplied."""
        if not self._objective.is_weighted_by_advantage:
            return batch.mask_NT
        return batch.mask_NT & (batch.advantage_NT != 0)

    def _step(
        self,
        samples: Sequence[Sample],
        batch: TokenBatch,
        active_NT: Tensor,
        rows: Sequence[int],
        metrics: dict[str, float],
        weight: float,
    ) -> None:
        active = active_NT.any(dim=-1).tolist()
        visited = [row for row in rows if active[row]]
        if not visited:
            metrics["minibatches_skipped"] += 1
            return
        totals, seen = Totals.of(batch.mask_NT[rows]), Totals.of(batch.mask_NT[visited])
        lengths = lengths_to_pack([samples[row] for row in visited])
        for places in packed(lengths, self._config.tokens_per_pass, self._objective.rows_together):
            chosen = [visited[place] for place in places]
            with self._checkpointed():
                part = self._pass([samples[row] for row in chosen], batch, active_NT, chosen)
                loss_NT, observed = self._objective(part)
                loss = aggregate(loss_NT, part.mask_NT, self._objective.aggregation, totals)
                loss.backward()
            old_NT = part.given("old_log_prob_NT")
            batch.given("old_log_prob_NT")[chosen, : old_NT.shape[1]] = old_NT
            metrics["loss"] += weight * float(loss.detach())
            for name, value in observed.items():
                metrics[name] += weight * float(aggregate(value, part.mask_NT, "token-mean", seen))
        if "gradient_norm" not in metrics:  # the policy is still the one that sampled
            metrics |= sampler_metrics(batch, samples)
        metrics["gradient_norm"] += weight * self._optimizer.step()
        if self._teacher:
            self._teacher.follow()

    def _pass(
        self, samples: Sequence[Sample], batch: TokenBatch, active_NT: Tensor, rows: Sequence[int]
    ) -> TokenBatch:
        """Some rows as the policy sees them now, with gradient; what is not active keeps the old values."""
        tokens = collate(samples, self.module.device)
        generated_NT = self._scorer.generated(samples)
        width = generated_NT.shape[1]
        part, active_NT = _rows(batch, rows, width), active_NT[rows, :width]
        select_NT = tokens.generated_NT.masked_scatter(tokens.generated_NT, active_NT[generated_NT])
        before_MH = hidden_before(self.module, tokens.ids_NT, tokens.attention_NT, select_NT)
        live = "live_entropy_NT" in self._needs
        log_prob_M, entropy_M = statistics_after(
            self.module,
            before_MH,
            tokens.ids_NT[:, 1:][select_NT[:, 1:]],
            self._temperature,
            self._config.logits_at_once,
            live_entropy=live,
        )
        log_prob_NT = part.log_prob_NT.masked_scatter(active_NT, log_prob_M)
        own_NT = log_prob_NT.detach()
        part = replace(
            part,
            log_prob_NT=log_prob_NT,
            entropy_NT=part.entropy_NT.masked_scatter(active_NT, entropy_M.detach()),
            old_log_prob_NT=_known(part.given("old_log_prob_NT"), own_NT),
            sampler_log_prob_NT=_known(part.given("sampler_log_prob_NT"), own_NT),
        )
        if live:
            zeros_NT = torch.zeros_like(part.entropy_NT)
            part = replace(part, live_entropy_NT=zeros_NT.masked_scatter(active_NT, entropy_M))
        if self._critic:
            value_M = self._critic(tokens, select_NT)
            part = replace(
                part, value_NT=torch.zeros_like(part.log_prob_NT).masked_scatter(active_NT, value_M)
            )
        return self._with_distributions(part, samples, tokens, select_NT, before_MH)

    def _with_distributions(
        self,
        part: TokenBatch,
        samples: Sequence[Sample],
        tokens: Tokens,
        select_NT: Tensor,
        before_MH: Tensor,
    ) -> TokenBatch:
        """Objectives that ask for these look at every token of a row, so that all are selected."""
        how = (self._temperature, self._config.logits_at_once)
        mask_NT = self._scorer.generated(samples)
        if "reference_kl_NT" in self._needs and self._reference:
            hidden = self._reference.hidden(tokens, select_NT)
            (kl_M,) = compared(kl_to, self.module, before_MH, self._reference, hidden, *how)
            zeros_NT = torch.zeros_like(part.entropy_NT)
            part = replace(part, reference_kl_NT=zeros_NT.masked_scatter(mask_NT, kl_M))
        if "teacher_kl_NT" in self._needs and self._teacher:
            teacher = self._teacher.distribution
            hidden = teacher.hidden(tokens, select_NT)
            (kl_M,) = compared(kl_from, self.module, before_MH, teacher, hidden, *how)
            zeros_NT = torch.zeros_like(part.entropy_NT)
            part = replace(part, teacher_kl_NT=zeros_NT.masked_scatter(mask_NT, kl_M))
        if "teacher_candidate_log_prob_NTK" in self._needs and self._teacher:
            taught = collate([sample.as_told() for sample in samples], self.module.device)
            teacher = self._teacher.distribution
            hidden = teacher.hidden(taught, taught.generated_NT)
            likeliest = partial(candidates, count=self._objective.candidate_count)
            found = compared(likeliest, self.module, before_MH, teacher, hidden, *how)
            zeros_NTK = torch.zeros(*mask_NT.shape, found[0].shape[-1], device=mask_NT.device)
            own_NTK, teacher_NTK = (
                zeros_NTK.masked_scatter(mask_NT[..., None], value_MK) for value_MK in found
            )
            part = replace(part, candidate_log_prob_NTK=own_NTK, teacher_candidate_log_prob_NTK=teacher_NTK)
        return part

    @contextmanager
    def _checkpointed(self) -> Iterator[None]:
        """Transformers computes activations again for layers in training mode only. These themselves are put
        into it, and what is inside them, dropout above all, stays in evaluation mode."""
        layers: list[Any] = []
        if self._config.gradient_checkpointing:
            layers = [each for each in self.module.modules() if isinstance(each, GradientCheckpointingLayer)]
        for layer in layers:
            layer.training = layer.gradient_checkpointing = True
            layer._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)
        try:
            yield
        finally:
            for layer in layers:
                layer.training = layer.gradient_checkpointing = False


def _known(value_NT: Tensor, otherwise_NT: Tensor) -> Tensor:
    """The value, and the other one where it is NaN."""
    return value_NT.where(~value_NT.isnan(), otherwise_NT)


def _rows(batch: TokenBatch, rows: Sequence[int], width: int) -> TokenBatch:
    """Some rows of a batch with their first tokens."""
    given = {each.name: getattr(batch, each.name) for each in fields(batch)}
    taken: dict[str, Any] = {
        name: value[rows] if value.dim() == 1 else value[rows, :width]
        for name, value in given.items()
        if value is not None
    }
    return TokenBatch(**taken)
