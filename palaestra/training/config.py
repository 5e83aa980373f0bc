"""Everything that a training run can be told."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from palaestra.arena.judges.programmatic import ProgrammaticJudgeConfig
from palaestra.arena.judges.registry import AnyJudgeConfig
from palaestra.arena.topologies.registry import AnyTopologyConfig
from palaestra.arena.topologies.single_elimination import SingleEliminationConfig
from palaestra.arena.tournament import TournamentConfig
from palaestra.core.config import VerbConfig
from palaestra.models.config import ModelConfig
from palaestra.models.tiny import TinyConfig
from palaestra.training.adapters import AdapterConfig
from palaestra.training.curriculum import StageConfig
from palaestra.training.evaluation import EvaluationConfig
from palaestra.training.objectives.arena_rl import ArenaRLConfig
from palaestra.training.objectives.off_policy import OffPolicyConfig
from palaestra.training.objectives.on_policy_distillation import OnPolicyDistillationConfig
from palaestra.training.objectives.registry import AnyObjectiveConfig, objective
from palaestra.training.optimizer import OptimizerConfig
from palaestra.training.reference_rewards import ReferenceRewardConfig
from palaestra.training.rewards import RewardName
from palaestra.training.rollouts import RolloutConfig
from palaestra.training.selections import PAIRS, SelectionName
from palaestra.training.teacher import TeacherConfig
from palaestra.training.update_mask import UpdateMaskConfig
from palaestra.training.warm_start import WarmStartConfig


class TrainConfig(VerbConfig):
    families: tuple[str, ...] = Field(default=("trip",), min_length=1)
    """Task families: where training tasks, held-out tasks and answers to imitate come from, in equal shares.
    `family: trip` is short for one."""
    tasks: int = Field(default=4000, ge=1)
    """Training tasks to draw from; they are walked through again when all have been seen. `limit` caps these
    and the evaluation's, each."""
    stages: tuple[StageConfig, ...] = ()
    """Curriculum, in order; none is one stage without limits of its own."""
    policy: ModelConfig
    """hf/<folder or hub id>, or tiny/<any name> for a small one made from nothing. It is trained in float32
    unless `dtype` is bfloat16."""
    tiny: TinyConfig = TinyConfig()
    """Architecture of a tiny policy."""
    warm_start: WarmStartConfig = WarmStartConfig()
    adapter: AdapterConfig | None = None
    """Train adapters beside frozen weights; null trains the weights themselves."""
    update_mask: UpdateMaskConfig | None = None
    """Which of the weights may move; null lets all move."""
    rollout: RolloutConfig = RolloutConfig()
    reward: RewardName = "tournament"
    reference: ReferenceRewardConfig = ReferenceRewardConfig()
    """Of `reward=reference`."""
    topology: AnyTopologyConfig = SingleEliminationConfig()
    """Of the tournament within each group, a name or its settings."""
    tournament: TournamentConfig = TournamentConfig()
    judge: AnyJudgeConfig = ProgrammaticJudgeConfig(family="trip")
    refills: int = Field(default=0, ge=0)
    """Further batches of tasks that a step may draw in place of groups whose rewards all agree; with 0 these
    stay in the batch."""
    selection: SelectionName = "all"
    """Which rollouts of a group are trained on."""
    objective: AnyObjectiveConfig = ArenaRLConfig()
    """A name or its settings; settings without a name are ArenaRL's."""
    off_policy: OffPolicyConfig | None = None
    """Weigh token losses by truncated importance weights, trainer to sampler; null takes them for equal."""
    teacher: TeacherConfig = TeacherConfig()
    """Of objectives that learn from one."""
    optimizer: OptimizerConfig = OptimizerConfig()
    steps: int = Field(default=40, ge=0)
    """Batches of rollouts; each is used for `minibatches` optimizer steps."""
    minibatches: int = Field(default=1, ge=1)
    evaluation: EvaluationConfig = EvaluationConfig()
    checkpoint_every: int = Field(default=10, ge=1)
    """Steps; the last step and the best one that was evaluated are always kept."""
    keep_checkpoints: int = Field(default=2, ge=1)
    """How many of the latest to keep."""
    tensorboard: bool = False
    """Write metrics for TensorBoard into the run's folder as well."""

    @model_validator(mode="before")
    @classmethod
    def _from_one_family(cls, values: Any) -> Any:
        if isinstance(values, dict) and "family" in values and "families" not in values:
            values = dict(values)
            values["families"] = (values.pop("family"),)
        return values

    @field_validator("policy")
    @classmethod
    def _can_be_trained(cls, policy: ModelConfig) -> ModelConfig:
        if not policy.name.startswith(("hf/", "tiny/")):
            raise ValueError(
                f"{policy.name} cannot be trained; give hf/<folder or hub id> or tiny/<any name>"
            )
        if policy.dtype == "float16":
            raise ValueError("gradients of float16 weights overflow; leave dtype at auto or set bfloat16")
        return policy

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        chosen = objective(self.objective)
        name = self.objective.name
        if "relaxed_reward_N" in chosen.needs:
            raise ValueError(f"objective {name} needs a differentiable reward and is called from Python only")
        if name == "light-reasoner":
            raise ValueError(
                "objective light-reasoner needs labels of its own and is called from Python only"
            )
        if (chosen.rows_together == 2) != (self.selection in PAIRS):
            raise ValueError(
                f"selection={self.selection} does not go with objective {name}: dpo and simpo, and only "
                f"they, train on pairs: {' or '.join(PAIRS)}"
            )
        if self.reward == "posterior" and getattr(self.objective, "advantage", "") != "rank-scaled":
            raise ValueError(
                "reward=posterior needs objective.advantage=rank-scaled: other rules undo its weights"
            )
        if isinstance(self.objective, OnPolicyDistillationConfig):
            if self.teacher.model is None:
                raise ValueError(
                    "objective on-policy-distillation needs teacher.kind=model and teacher.model"
                )
            if self.rollout.temperature != 1:
                raise ValueError("objective on-policy-distillation needs rollout.temperature=1")
        if self.adapter and self.update_mask:
            raise ValueError("update_mask is of the weights that an adapter freezes; set one of the two")
        if self.evaluation.patience and not self.evaluation.every:
            raise ValueError("evaluation.patience needs evaluation.every")
        return self
