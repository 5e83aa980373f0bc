"""Everything that a training run can be told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from palaestra.arena.judges.programmatic import OWN_FAMILY, ProgrammaticJudgeConfig
from palaestra.arena.judges.registry import AnyJudgeConfig
from palaestra.arena.topologies.registry import AnyTopologyConfig
from palaestra.arena.topologies.single_elimination import SingleEliminationConfig
from palaestra.arena.tournament import TournamentConfig
from palaestra.core.config import VerbConfig
from palaestra.datasets.families import FAMILIES
from palaestra.models.config import ModelConfig
from palaestra.models.tiny import TinyConfig
from palaestra.training.adapters import AdapterConfig
from palaestra.training.conditioning import ConditioningConfig
from palaestra.training.curriculum import StageConfig
from palaestra.training.evaluation import EvaluationConfig
from palaestra.training.objectives.arena_rl import ArenaRLConfig
from palaestra.training.objectives.base import TAUGHT, Objective
from palaestra.training.objectives.off_policy import OffPolicyConfig
from palaestra.training.objectives.policy_gradient import PolicyGradient
from palaestra.training.objectives.registry import AnyObjectiveConfig, objective
from palaestra.training.optimizer import OptimizerConfig
from palaestra.training.reference_rewards import ReferenceRewardConfig
from palaestra.training.rewards import RewardName
from palaestra.training.rollouts import RolloutConfig
from palaestra.training.sampler import SamplerConfig
from palaestra.training.selections import IMITATED, PAIRS, SelectionName
from palaestra.training.teacher import TeacherConfig
from palaestra.training.update_mask import UpdateMaskConfig
from palaestra.training.warm_start import WarmStartConfig

AT_TEMPERATURE_ONE = ("on-policy-distillation", "light-reasoner")
"""Objectives about the policy's own distribution, which rollouts must be drawn from."""


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
    sampler: SamplerConfig | None = None
    """What draws rollouts and evaluations in the policy's place, with its weights after every update:
    vllm/policy, or hosted_vllm/<served name> with an api_base. null: the policy itself."""
    reward: RewardName = "tournament"
    reference: ReferenceRewardConfig = ReferenceRewardConfig()
    """Of `reward=reference`."""
    unfinished: float | None = None
    """The reward of an answer that the limit on tokens cut off, such as -1 (AlpacaFarm's PPO) or 0; null
    leaves it to `reward`."""
    topology: AnyTopologyConfig = SingleEliminationConfig()
    """Of the tournament within each group, a name or its settings."""
    tournament: TournamentConfig = TournamentConfig()
    judge: AnyJudgeConfig = ProgrammaticJudgeConfig(family=OWN_FAMILY)
    """Of the tournaments and of evaluations."""
    refills: int = Field(default=0, ge=0)
    """Further batches of tasks that a step may draw in place of groups whose rewards all agree; with 0 these
    stay in the batch."""
    selection: SelectionName = "all"
    """Which rollouts of a group are trained on."""
    conditioning: ConditioningConfig | None = None
    """Imitate all rollouts, each after words that tell its reward; null tells nothing."""
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
    wandb: bool = False
    """Send metrics to Weights & Biases as well; its environment variables say where (WANDB_PROJECT, …)."""

    @model_validator(mode="before")
    @classmethod
    def _from_one_family(cls, values: Any) -> Any:
        if isinstance(values, dict) and "family" in values and "families" not in values:
            values = dict(values)
            values["families"] = (values.pop("family"),)
        return values

    @field_validator("families")
    @classmethod
    def _are_known(cls, families: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [name for name in families if name not in FAMILIES]:
            raise ValueError(f"unknown task family {unknown[0]!r}; there are: {', '.join(sorted(FAMILIES))}")
        return families

    @field_validator("policy")
    @classmethod
    def _can_be_trained(cls, policy: ModelConfig) -> ModelConfig:
        return trainable(policy)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if conflict := next(self._conflicts(), None):
            raise ValueError(conflict)
        return self

    def _conflicts(self) -> Iterator[str]:
        """What cannot be done, and what would be done to no effect."""
        chosen = objective(self.objective)
        yield from self._conflicts_of_samples(chosen)
        yield from self._conflicts_of_rewards(chosen)
        yield from self._conflicts_of_teacher(chosen)
        if self.off_policy and "sampler_log_prob_NT" in chosen.needs:
            yield f"off_policy weighs twice what {self._in_force} weighs already; leave it out"
        if self.adapter and self.update_mask:
            yield "update_mask is of the weights that an adapter freezes; set one of the two"
        if self.evaluation.patience and not self.evaluation.every:
            yield "evaluation.patience needs evaluation.every"
        if self.evaluation.best_of and (self.reward == "none" or not self.evaluation.samples):
            yield "evaluation.best_of needs evaluation.samples, and a reward to pick the best by"

    @property
    def _in_force(self) -> str:
        """The objective as messages name it."""
        default = "" if "objective" in self.model_fields_set else " (the default)"
        return f"objective {self.objective.name}{default}"

    def _conflicts_of_samples(self, chosen: Objective) -> Iterator[str]:
        name = self.objective.name
        if "relaxed_reward_N" in chosen.needs:
            yield f"{self._in_force} needs a differentiable reward; take RelaxedUpdater from Python"
        if (chosen.rows_together == 2) != (self.selection in PAIRS):
            yield (
                f"selection={self.selection} does not go with {self._in_force}: dpo and simpo, and only "
                f"they, train on pairs: {' or '.join(PAIRS)}"
            )
        if self.selection in IMITATED and isinstance(chosen, PolicyGradient):
            yield (
                f"{self._in_force} compares the rollouts of a group, and selection={self.selection} leaves "
                "too few of them; take selection=all, or objective=sft to imitate"
            )
        if self.conditioning and (name != "sft" or self.selection != "all" or self.reward == "none"):
            yield "conditioning needs objective=sft, selection=all and a reward"
        if self.off_policy and self.conditioning:
            yield "off_policy weighs what the policy drew, which conditioning changes; leave off_policy out"

    def _conflicts_of_rewards(self, chosen: Objective) -> Iterator[str]:
        if self.reward == "posterior" and getattr(self.objective, "advantage", "") != "rank-scaled":
            yield "reward=posterior needs objective.advantage=rank-scaled: other rules undo its weights"
        if self.reward == "none" and not TAUGHT & set(chosen.needs):
            yield f"{self._in_force} learns from rewards, and reward=none gives none"
        if self.reward == "none" and self.selection != "all":
            yield f"selection={self.selection} goes by rewards, reward=none gives none; take selection=all"
        if self.reward == "none" and self.refills:
            yield "refills replace groups whose rewards agree, and reward=none gives none; set refills=0"
        if self.reward == "none" and self.unfinished is not None:
            yield "unfinished takes the place of a reward, and reward=none gives none; leave unfinished out"
        judge = self.judge.family if isinstance(self.judge, ProgrammaticJudgeConfig) else OWN_FAMILY
        if judge != OWN_FAMILY and set(self.families) != {judge}:
            yield (
                f"judge=programmatic/{judge} cannot judge tasks of {', '.join(self.families)}; take "
                f"judge=programmatic/{OWN_FAMILY}"
            )

    def _conflicts_of_teacher(self, chosen: Objective) -> Iterator[str]:
        name, kind = self.objective.name, self.teacher.kind
        if self.teacher != TeacherConfig() and not TAUGHT & set(chosen.needs):
            yield (
                f"{self._in_force} learns from no teacher; leave teacher out, or choose an objective that "
                "does, such as on-policy-distillation or sdpo"
            )
        if name == "on-policy-distillation" and kind != "model":
            yield f"{self._in_force} needs teacher.kind=model and teacher.model"
        if name == "light-reasoner" and kind != "contrast":
            yield f"{self._in_force} needs teacher.kind=contrast and teacher.model"
        if kind == "contrast" and name != "light-reasoner":
            yield f"{self._in_force} does not learn from teacher.kind=contrast; light-reasoner alone does"
        if name in AT_TEMPERATURE_ONE and self.rollout.temperature != 1:
            yield f"{self._in_force} needs rollout.temperature=1"
        if name == "on-policy-distillation" and self.rollout.greedy_anchor:
            yield (
                "objective on-policy-distillation needs rollout.greedy_anchor=false: a greedy answer is no "
                "sample of the policy"
            )


def trainable(policy: ModelConfig) -> ModelConfig:
    """
    Raises:
        ValueError: it cannot be trained, or has settings that training would not heed.
    """
    if not policy.name.startswith(("hf/", "tiny/")):
        raise ValueError(f"{policy.name} cannot be trained; give hf/<folder or hub id> or tiny/<any name>")
    if policy.dtype == "float16":
        raise ValueError("gradients of float16 weights overflow; leave dtype at auto or set bfloat16")
    if policy.contrast is not None:
        raise ValueError(
            "what contrast draws is no sample of the policy, which cannot learn from it; leave it out"
        )
    if policy.repeat != "none":
        raise ValueError("a policy is trained on prompts as they are; leave repeat out")
    return policy
