"""Whole training runs, by every objective that `train` knows."""

from collections import Counter
from pathlib import Path
from typing import get_args

import pytest
import torch

from palaestra.core.events import (
    JudgementGiven,
    StepSkipped,
    TaskLoaded,
    TrajectoryFinished,
    UpdateDone,
)
from palaestra.models.config import ModelConfig
from palaestra.models.hf import HFModel
from palaestra.training.objectives.registry import AnyObjectiveConfig
from tests.training.runs import BASE, Run, differ, method, updates

RANKED = ("arena-rl", "reinforce++", "aepo", "ppo", "dpo", "sft", "sdpo-grpo")
NOT_HERE = {"grade", "grade-ste"}
NAMES = [config.model_fields["name"].default for config in get_args(get_args(AnyObjectiveConfig)[0])]


@pytest.mark.parametrize(
    ("name", "reward"),
    [(name, "utility") for name in NAMES if name not in NOT_HERE] + [(name, "tournament") for name in RANKED],
)
def test_every_objective_trains_on_ranks_and_on_rewards(
    run: Run, start: Path, amateur: Path, name: str, reward: str
) -> None:
    store = run(reward=reward, **method(name, start, amateur))
    done, skipped = updates(store), list(store.events(StepSkipped))
    assert sorted([each.step for each in done] + [each.step for each in skipped]) == [1, 2]
    assert done or (name, reward) == ("psr", "utility"), "of this policy no plan need be worth more than ½"
    judged = {event.group for event in store.events(JudgementGiven) if event.group.startswith("step-")}
    assert bool(judged) == (reward == "tournament")
    for update in done:
        assert update.metrics["effective_sample_size_tokens"] == pytest.approx(1, abs=1e-3)
        assert update.metrics["sampler_gap_max"] < 1e-2
    if done and name != "on-policy-distillation":  # whose teacher is the start policy itself: see below
        assert differ(start, store.folder / "checkpoints" / "step-000002")
    store.close()


def test_stages_and_posterior_ranks_and_bfloat16(run: Run, start: Path) -> None:
    store = run(
        policy={"name": f"hf/{start}", "device": "cpu", "dtype": "bfloat16"},
        stages=[{"steps": 1, "max_tokens": 9}, {"steps": 1}],
        reward="posterior",
        topology={"name": "swiss", "rerank": "posterior"},
        objective={"advantage": "rank-scaled"},
        off_policy={"level": "token", "cap": 2.0},
        optimizer={"learning_rate": 1e-3, "gradient_checkpointing": True},
    )
    drawn = [event for event in store.events(TrajectoryFinished) if event.group.startswith("step-")]
    longest = {
        step: max(
            sum(event.trajectory.trace.mask)
            for event in drawn
            if event.group.startswith(f"step-{step}/") and event.trajectory.trace
        )
        for step in (1, 2)
    }
    assert longest[1] <= 9 < longest[2]
    assert updates(store)[0].metrics["sampler_weight"] == pytest.approx(1, abs=0.05)
    saved = HFModel.from_config(ModelConfig(name=f"hf/{store.folder}/checkpoints/step-000002", device="cpu"))
    assert saved.module.dtype == torch.bfloat16
    store.close()


def test_families_are_drawn_rewarded_and_judged_each_by_its_own_rules(run: Run) -> None:
    store = run(
        families=["trip", "countdown"],
        policy={"name": "tiny/both", "device": "cpu", "concurrency": 256},
        tiny=BASE["tiny"] | {"window": 512},
        warm_start={"steps": 1, "examples": 20, "batch_size": 4},
        rollout=BASE["rollout"] | {"tasks_per_step": 4, "max_tokens": 8},
        judge="programmatic/own",
        reward="tournament",
        objective="aepo",
        steps=1,
        evaluation={"tasks": 4},
    )
    tasks = {event.task.id: event.task.family for event in store.events(TaskLoaded)}
    drawn = [event for event in store.events(TrajectoryFinished) if event.group.startswith("step-")]
    assert Counter(tasks[event.trajectory.task_id] for event in drawn) == {"trip": 8, "countdown": 8}
    evaluation = store.last(UpdateDone)
    assert evaluation is not None
    assert evaluation.metrics["judged"] == 4
    store.close()
