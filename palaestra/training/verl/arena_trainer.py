"""`trainer.v1.trainer_mode=palaestra`: verl's synchronous trainer with tournaments within its groups.

    ours=palaestra.training.verl
    export VERL_USE_EXTERNAL_MODULES=$ours.rank_estimator,$ours.arena_trainer
    python -m verl.trainer.main_ppo trainer.v1.trainer_mode=palaestra algorithm.adv_estimator=arena-rank
        +palaestra.judge=openai/gpt-5 +palaestra.objective=aepo …

verl draws, updates and keeps checkpoints. Shape suffixes: `_N` responses, `_T` tokens of each.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transfer_queue as tq
from omegaconf import DictConfig, OmegaConf
from pydantic import Field
from tensordict import TensorDict
from torch import Tensor
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.trainer_base import register_trainer
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync
from verl.workers.utils.padding import response_to_nested

from palaestra.arena.judges.registry import AnyJudgeConfig, open_judge
from palaestra.arena.topologies.registry import AnyTopologyConfig
from palaestra.arena.topologies.single_elimination import SingleEliminationConfig
from palaestra.arena.tournament import Tournament, TournamentConfig
from palaestra.core.budget import Budget, Meter
from palaestra.core.config import validate
from palaestra.core.errors import ConfigError, TrainingError
from palaestra.core.events import discard
from palaestra.core.record import Record
from palaestra.core.task import Task
from palaestra.training.advantages.tokens import at_last_token
from palaestra.training.objective_state import restored_objective, store_objective
from palaestra.training.objectives.base import Objective, TokenBatch
from palaestra.training.objectives.registry import AnyObjectiveConfig, objective
from palaestra.training.outside_answers import contestants, task_of
from palaestra.training.rewards import Groups, Rewards, TournamentRewards, by_rank


class ArenaConfig(Record):
    """The group `palaestra` of verl's configuration."""

    judge: AnyJudgeConfig
    """Of the tournament within each group; its ranks take the place of verl's scores."""
    topology: AnyTopologyConfig = SingleEliminationConfig()
    tournament: TournamentConfig = TournamentConfig()
    objective: AnyObjectiveConfig | None = None
    """Makes the advantages in the place of verl's estimator, such as aepo with its masks; the loss stays
    verl's `actor.policy_loss`. null leaves them to the estimator."""
    concurrency: int = Field(default=16, ge=1)
    """Judge calls under way at once."""
    seed: int = 0


@register_trainer("palaestra")
class ArenaTrainer(PPOTrainerSync):  # type: ignore[misc] # verl has no types
    """Groups are judged whole. A response of a group without a verdict has no advantage.

    A column `task` of the data set, with tasks as JSON, tells the judge more than the prompt does; a column
    `data_source` tells task families apart. The state of the objective is in the checkpoints.
    """

    def __init__(self, config: DictConfig) -> None:
        super().__init__(config)
        given = OmegaConf.to_container(config.get("palaestra") or OmegaConf.create({}), resolve=True)
        self._arena = validate(ArenaConfig, given, "palaestra")
        self._objective = objective(self._arena.objective) if self._arena.objective else None
        if self._objective and set(self._objective.needs) - {"old_log_prob_NT"}:
            raise ConfigError(
                "palaestra.objective reads more than rewards and entropies; choose another, with kl=0 and "
                "entropy_bonus=0"
            )
        if self._objective and not self._objective.is_weighted_by_advantage:
            raise ConfigError(
                "palaestra.objective makes no advantages, and verl's loss learns from nothing else; choose "
                "another"
            )

    def _compute_advantage(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        """verl's own with the rewards of tournaments, and maybe the advantages of an objective."""
        fields = ["uid", "raw_prompt", "task", "data_source", "responses", "response_mask"]
        drawn = _read(batch, [*fields, "old_log_probs", "entropy"])
        reward_N = self._rewards(batch, drawn)
        mask = drawn["response_mask"]
        mask_NT = mask.to_padded_tensor(0).bool()
        _write(batch, {"rm_scores": at_last_token(reward_N.nan_to_num(0.5), mask_NT)}, mask)
        batch = super()._compute_advantage(batch, metrics)
        advantage_NT = _read(batch, ["advantages"])["advantages"].to_padded_tensor(0)
        if self._objective:
            advantage_NT = self._prepared(self._objective, drawn, reward_N, mask_NT)
        advantage_NT = advantage_NT.masked_fill(reward_N.isnan()[:, None], 0)
        return _write(batch, {"advantages": advantage_NT, "returns": advantage_NT}, mask)

    def _rewards(self, batch: KVBatchMeta, drawn: TensorDict) -> Tensor:
        """By rank, 1 for the best of a group to 0 for the last; NaN for padding and what was not ranked."""
        if any(not key.endswith("_0") for key in batch.keys):
            raise TrainingError(
                "a response has several outputs; let the agent loop give one for each trajectory"
            )
        rows: dict[str, list[int]] = defaultdict(list)
        for row, (uid, tag) in enumerate(zip(list(drawn["uid"]), batch.tags, strict=True)):
            if not tag.get("is_padding"):
                rows[uid].append(row)
        described = list(drawn["task"]) if "task" in drawn else [None] * len(batch.keys)
        prompts, texts = list(drawn["raw_prompt"]), self._texts(drawn)
        tasks = {uid: task_of(prompts[places[0]], described[places[0]]) for uid, places in rows.items()}
        groups = {
            uid: contestants(uid, tasks[uid], [texts[row] for row in places]) for uid, places in rows.items()
        }
        reward_N = torch.full((len(batch.keys),), torch.nan)
        for uid, rewards in asyncio.run(self._play(groups, tasks)).items():
            reward_N[rows[uid]] = torch.tensor(rewards)
        return reward_N

    def _texts(self, drawn: TensorDict) -> list[str]:
        """What the policy wrote in each response, without the tools' output."""
        pairs = zip(drawn["responses"].unbind(), drawn["response_mask"].unbind(), strict=True)
        return [self.tokenizer.decode(ids[mask.bool()], skip_special_tokens=True) for ids, mask in pairs]

    async def _play(self, groups: Groups, tasks: Mapping[str, Task]) -> Rewards:
        arena = self._arena
        async with open_judge(arena.judge, arena.seed) as judge:
            played = Tournament(
                judge,
                arena.tournament,
                concurrency=arena.concurrency,
                meter=Meter(Budget()),
                emit=discard,
            )
            return await TournamentRewards(played, arena.topology, arena.seed, by_rank).rewards(groups, tasks)

    def _prepared(self, objective: Objective, drawn: TensorDict, reward_N: Tensor, mask_NT: Tensor) -> Tensor:
        """The objective's advantages. What it drops has none, and stays in the denominator of verl's loss."""
        scored_N = ~reward_N.isnan()
        old_NT = drawn["old_log_probs"].to_padded_tensor(0)[scored_N]
        families = list(drawn["data_source"]) if "data_source" in drawn else [""] * len(reward_N)
        batch = TokenBatch(
            log_prob_NT=old_NT,
            entropy_NT=drawn["entropy"].to_padded_tensor(0)[scored_N],
            advantage_NT=torch.zeros_like(old_NT),
            mask_NT=mask_NT[scored_N],
            old_log_prob_NT=old_NT,
            reward_N=reward_N[scored_N],
            group_N=_numbered(list(drawn["uid"]))[scored_N],
            family_N=_numbered(families)[scored_N],
        )
        prepared, self._objective = objective.prepare(batch)
        advantage_NT = torch.zeros(mask_NT.shape)
        advantage_NT[scored_N] = prepared.advantage_NT.where(prepared.mask_NT, 0)
        return advantage_NT

    def _save_checkpoint(self) -> None:
        folder = Path(self.config.trainer.default_local_dir, f"global_step_{self.global_steps}")
        folder.mkdir(parents=True, exist_ok=True)
        self.store(folder)
        super()._save_checkpoint()

    def _load_checkpoint(self) -> None:
        super()._load_checkpoint()
        settings = self.config.trainer
        if self.global_steps and settings.resume_mode == "resume_path":
            self.restore(Path(settings.resume_from_path))
        elif self.global_steps:
            self.restore(Path(settings.default_local_dir, f"global_step_{self.global_steps}"))

    def store(self, folder: Path) -> None:
        """Write the state of the objective beside verl's checkpoint."""
        if self._objective:
            store_objective(self._objective, folder)

    def restore(self, folder: Path) -> None:
        if self._objective:
            self._objective = restored_objective(self._objective, folder)


def _read(batch: KVBatchMeta, fields: Sequence[str]) -> TensorDict:
    return tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=list(fields))


def _write(batch: KVBatchMeta, values: Mapping[str, Tensor], mask: Tensor) -> KVBatchMeta:
    """Put values of the shape (N, T) beside what the rows have, cut to the lengths of `mask`."""
    fields = {name: response_to_nested(value_NT, mask) for name, value_NT in values.items()}
    held = TensorDict(fields, batch_size=len(batch.keys))
    return tq.kv_batch_put(keys=batch.keys, partition_id=batch.partition_id, fields=held)


def _numbered(names: Sequence[str]) -> Tensor:
    """Equal integers for equal names."""
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    return torch.tensor([places[name] for name in names])
