"""Everything that a training run can be told."""

from __future__ import annotations

from pydantic import Field, field_validator

from palaestra.arena.judges.programmatic import ProgrammaticJudgeConfig
from palaestra.arena.judges.registry import AnyJudgeConfig
from palaestra.arena.topologies.registry import TopologyName
from palaestra.arena.tournament import TournamentConfig
from palaestra.core.config import VerbConfig
from palaestra.models.config import ModelConfig
from palaestra.models.tiny import TinyConfig
from palaestra.training.evaluation import EvaluationConfig
from palaestra.training.objectives.arena_rl import ArenaRLConfig
from palaestra.training.rollouts import RolloutConfig
from palaestra.training.updater import OptimizerConfig
from palaestra.training.warm_start import WarmStartConfig


class TrainConfig(VerbConfig):
    family: str = "trip"
    """Task family: where training tasks, held-out tasks and answers to imitate come from."""
    tasks: int = Field(default=4000, ge=1)
    """Training tasks to draw from; they are walked through again when all have been seen. `limit` caps these
    and the evaluation's, each."""
    policy: ModelConfig
    """hf/<folder or hub id>, or tiny/<any name> for a small one made from nothing."""
    tiny: TinyConfig = TinyConfig()
    """Architecture of a tiny policy."""
    warm_start: WarmStartConfig = WarmStartConfig()
    rollout: RolloutConfig = RolloutConfig()
    topology: TopologyName = "single-elimination"
    """Of the tournament within each group."""
    tournament: TournamentConfig = TournamentConfig()
    judge: AnyJudgeConfig = ProgrammaticJudgeConfig(family="trip")
    objective: ArenaRLConfig = ArenaRLConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    steps: int = Field(default=40, ge=0)
    """Batches of rollouts; each is used for `minibatches` optimizer steps."""
    minibatches: int = Field(default=1, ge=1)
    evaluation: EvaluationConfig = EvaluationConfig()
    checkpoint_every: int = Field(default=10, ge=1)
    """Steps; the last step is always kept."""
    keep_checkpoints: int = Field(default=2, ge=1)
    """How many of the latest to keep."""

    @field_validator("policy")
    @classmethod
    def _can_be_trained(cls, policy: ModelConfig) -> ModelConfig:
        if not policy.name.startswith(("hf/", "tiny/")):
            raise ValueError(
                f"{policy.name} cannot be trained; give hf/<folder or hub id> or tiny/<any name>"
            )
        if policy.dtype not in ("auto", "float32"):
            # Steps of a usual learning rate are below the resolution of 16-bit weights and would be lost.
            raise ValueError(
                f"training keeps its weights in float32, not {policy.dtype}; leave dtype at auto"
            )
        return policy
