"""Everything that a training run can be told."""

from __future__ import annotations

from pydantic import Field

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
    """Training tasks to draw from; they are walked through again when all have been seen."""
    policy: ModelConfig = ModelConfig(name="tiny/trip", concurrency=256)
    """hf/<folder or hub id>, or tiny/<name> for one made from nothing; `concurrency` is rows per batch."""
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
