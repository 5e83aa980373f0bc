"""TRL's GRPOTrainer with the advantages and the loss of one of Palaestra's objectives.

    ObjectiveTrainer(
        model,
        TournamentReward(judge, group_size=8),
        GRPOConfig(num_generations=8, …),
        train_dataset=…,
        objective=AEPO(AEPOConfig()),
    )

TRL draws, scores and steps. Shape suffixes: `_N` completions, `_T` tokens of each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from accelerate.utils import gather_object
from torch import Tensor
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from trl import GRPOConfig, GRPOTrainer

from palaestra.core.errors import ConfigError
from palaestra.training.objective_state import restored_objective, store_objective
from palaestra.training.objectives.aggregation import Totals, aggregate
from palaestra.training.objectives.base import Objective, TokenBatch

_KNOWN = {"old_log_prob_NT", "sampler_log_prob_NT", "reference_log_prob_NT"}


class ObjectiveTrainer(GRPOTrainer):  # type: ignore[misc] # TRL has no types
    """Every process prepares the whole batch, so that advantages and controllers are the same in all of them.

    TRL's settings of advantages and loss (`scale_rewards`, `loss_type`, `epsilon`, `top_entropy_quantile`, …)
    do not count; `beta` above 0 keeps a reference, whose weight is the objective's `kl`. Completions without
    any reward take no part. A column `family` of the data set tells task families apart. The state of the
    objective is in the checkpoints. For texts only.

    Raises:
        ConfigError: the objective reads what TRL does not have.
    """

    def __init__(
        self,
        model: Any,
        reward_funcs: Any,
        args: GRPOConfig,
        *,
        objective: Objective,
        **others: Any,
    ) -> None:
        _refuse_missing(objective, args)
        super().__init__(model, reward_funcs, args, **others)
        self._objective = objective

    def _calculate_rewards(self, inputs: Sequence[Mapping[str, Any]], *others: Any) -> Tensor:
        """TRL's own, which are those of all processes; the weighted sums are kept for the advantages."""
        reward_NF: Tensor = super()._calculate_rewards(inputs, *others)
        reward_N = (reward_NF * self.reward_weights.to(reward_NF.device)).nansum(dim=1)
        self._reward_N = reward_N.masked_fill(reward_NF.isnan().all(dim=1), torch.nan)
        families = gather_object([row.get("family", "") for row in inputs])
        places = {family: place for place, family in enumerate(sorted(set(families)))}
        self._family_N = torch.tensor([places[family] for family in families], device=reward_NF.device)
        return reward_NF

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        """TRL's own, with what the objective prepares: advantages, the tokens that count, their totals."""
        drawn: dict[str, Any] = super()._generate_and_score_completions(inputs)
        if "pixel_values" in drawn:
            raise ConfigError("ObjectiveTrainer trains on texts only; leave images out of the data set")
        drawn["loss_mask"] = (drawn["completion_mask"] * drawn.get("tool_mask", 1)).bool()
        with torch.no_grad():
            log_prob_NT, entropy_NT = self._score(self.model, drawn)
        drawn["old_per_token_logps"] = log_prob_NT
        whole = self._of_all_processes(self._batch(drawn, log_prob_NT, entropy_NT))
        scored_N = ~self._reward_N.isnan()
        prepared, successor = self._objective.prepare(_mapped(lambda value: value[scored_N], whole))
        if self.model.training:
            self._objective = successor
        mask_NT, advantage_NT = torch.zeros_like(whole.mask_NT), torch.zeros_like(whole.advantage_NT)
        mask_NT[scored_N], advantage_NT[scored_N] = prepared.mask_NT, prepared.advantage_NT
        own = self._own_part(log_prob_NT.shape)
        tokens, sequences = Totals.of(mask_NT)
        return drawn | {
            "advantages": advantage_NT[own],
            "loss_mask": mask_NT[own],
            "total_tokens": torch.tensor(tokens),
            "total_sequences": torch.tensor(sequences),
        }

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        """Of some rows; summed over an accumulation window, averaged over processes, it is the loss."""
        batch = self._batch(inputs, *self._score(model, inputs))
        loss_NT, metrics = self._objective(batch)
        totals = Totals(int(inputs["total_tokens"]), int(inputs["total_sequences"]))
        part = aggregate(loss_NT, batch.mask_NT, self._objective.aggregation, totals)
        mode = "train" if self.model.training else "eval"
        for name, value_NT in metrics.items():
            summed = torch.stack([value_NT.where(batch.mask_NT, 0).sum(), batch.mask_NT.sum()])
            value, tokens = self.accelerator.reduce(summed, reduction="sum").tolist()
            self._metrics[mode][name].append(value / max(tokens, 1))
        scale: float = self.accelerator.num_processes
        if mode == "train":
            scale *= self.args.steps_per_generation / self.current_gradient_accumulation_steps
        return part * scale

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        if self.args.should_save:
            folder = f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
            store_objective(self._objective, Path(self._get_output_dir(trial=trial), folder))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            self._objective = restored_objective(self._objective, Path(checkpoint))

    def _score(self, model: Any, inputs: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """Log-probability and entropy of each completion token, 0 where it does not count."""
        rows = self.args.per_device_train_batch_size
        ids_NT = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)
        attention_NT = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1)
        log_prob_NT, entropy_NT, _ = self._get_per_token_logps_and_entropies(
            model,
            ids_NT,
            attention_NT,
            inputs["completion_ids"].shape[1],
            batch_size=rows,
            compute_entropy=True,
        )
        mask_NT = inputs["loss_mask"]
        return log_prob_NT.where(mask_NT, 0), entropy_NT.where(mask_NT, 0)

    def _batch(self, inputs: Mapping[str, Any], log_prob_NT: Tensor, entropy_NT: Tensor) -> TokenBatch:
        """Before advantages are made they are whatever TRL has made."""
        old_NT = inputs["old_per_token_logps"]
        sampler_NT = inputs.get("sampling_per_token_logps")
        return TokenBatch(
            log_prob_NT=log_prob_NT,
            entropy_NT=entropy_NT,
            advantage_NT=inputs["advantages"].reshape(len(old_NT), -1).expand_as(old_NT),
            mask_NT=inputs["loss_mask"],
            old_log_prob_NT=old_NT,
            # vLLM gives NaN for a token that it could not score.
            sampler_log_prob_NT=None if sampler_NT is None else sampler_NT.where(~sampler_NT.isnan(), old_NT),
            reference_log_prob_NT=inputs.get("ref_per_token_logps"),
        )

    def _of_all_processes(self, own: TokenBatch) -> TokenBatch:
        """The batches of all processes below each other, with rewards, groups and families."""

        def gathered(value_NT: Tensor) -> Tensor:
            return cast(
                Tensor, self.accelerator.gather(self.accelerator.pad_across_processes(value_NT, dim=1))
            )

        size = self.num_generations if self.model.training else self.num_generations_eval
        group_N = torch.arange(len(self._reward_N), device=self._reward_N.device) // size
        whole = _mapped(gathered, own)
        return replace(whole, reward_N=self._reward_N, group_N=group_N, family_N=self._family_N)

    def _own_part(self, shape: torch.Size) -> tuple[slice, slice]:
        """Where in the batch of all processes this one's is."""
        rows, width = shape
        start = self.accelerator.process_index * rows
        return slice(start, start + rows), slice(width)


def _mapped(change: Callable[[Tensor], Tensor], batch: TokenBatch) -> TokenBatch:
    given = {name: value for name, value in vars(batch).items() if value is not None}
    return replace(batch, **{name: change(value) for name, value in given.items()})


def _refuse_missing(objective: Objective, args: GRPOConfig) -> None:
    name, needs = type(objective).__name__, set(objective.needs)
    if needs - _KNOWN or objective.rows_together > 1:
        raise ConfigError(
            f"{name} reads more than rewards and log-probabilities, which TRL's GRPOTrainer does not have; "
            "train with palaestra.training"
        )
    if "reference_log_prob_NT" in needs and args.beta == 0:
        raise ConfigError(
            f"{name} has a KL term; set beta of GRPOConfig to its kl, so that TRL keeps a reference"
        )
    if "sampler_log_prob_NT" in needs and not args.use_vllm:
        raise ConfigError(f"{name} reads what the sampler says; set use_vllm of GRPOConfig")
