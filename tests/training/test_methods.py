"""Whole training runs of a few steps, by every method that `train` knows."""

import asyncio
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from safetensors.torch import load_file, save_file

from palaestra.core.config import validate
from palaestra.core.errors import ConfigError
from palaestra.core.events import (
    Event,
    JudgementGiven,
    RunFinished,
    StepSkipped,
    TaskLoaded,
    TrajectoryFinished,
    UpdateDone,
)
from palaestra.models.config import ModelConfig
from palaestra.models.hf import HFModel
from palaestra.models.tiny import TinyConfig, TinyModel
from palaestra.store.run_store import RunStore
from palaestra.training.config import TrainConfig
from palaestra.training.objectives.registry import AnyObjectiveConfig
from palaestra.training.pipeline import train
from palaestra.training.tensorboard import FOLDER

PAIRED = {"dpo", "simpo"}
RANKED = ("arena-rl", "reinforce++", "aepo", "ppo", "dpo", "sft", "sdpo-grpo")
NOT_HERE = {"grade", "grade-ste"}
NAMES = [config.model_fields["name"].default for config in get_args(get_args(AnyObjectiveConfig)[0])]
BASE: dict[str, Any] = {
    "tiny": {"hidden": 64, "layers": 2, "heads": 2, "feed_forward": 128, "window": 192},
    "rollout": {
        "tasks_per_step": 3,
        "group_size": 4,
        "temperature": 1.0,
        "max_tokens": 40,
        "show_context": False,
        "greedy_anchor": False,
    },
    "judge": "programmatic/trip",
    "optimizer": {"learning_rate": 1e-3, "weight_decay": 0.0},
    "steps": 2,
    "evaluation": {"tasks": 2},
}
Run = Callable[..., RunStore]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that writes plans, poor ones."""
    warm = {"steps": 60, "examples": 600, "batch_size": 32, "optimizer": {"learning_rate": 5e-3}}
    policy = {"name": "tiny/trip", "device": "cpu", "concurrency": 256}
    changes = {"policy": policy, "warm_start": warm, "steps": 0}
    config = validate(TrainConfig, BASE | changes, source="test")
    store = RunStore.create(tmp_path_factory.mktemp("start"), "train", config)
    asyncio.run(train(config, store, store.write))
    store.close()
    return store.folder / "start"


@pytest.fixture(scope="module")
def amateur(start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a part of what it learned shaken out of it."""
    folder = tmp_path_factory.mktemp("amateur")
    shutil.copytree(start, folder, dirs_exist_ok=True)
    kept = load_file(folder / "model.safetensors")
    draw = torch.Generator().manual_seed(1)
    shaken = {name: each + 0.06 * torch.randn(each.shape, generator=draw) for name, each in kept.items()}
    save_file(shaken, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def settings(start: Path, **changes: Any) -> TrainConfig:
    policy = {"name": f"hf/{start}", "device": "cpu", "concurrency": 256}
    return validate(TrainConfig, BASE | {"policy": policy} | changes, source="test")


@pytest.fixture
def run(start: Path, tmp_path: Path) -> Run:
    def train_with(**changes: Any) -> RunStore:
        config = settings(start, **changes)
        store = RunStore.create(tmp_path / "runs", "train", config)
        finished = asyncio.run(train(config, store, store.write))
        assert finished == RunFinished(status="done", at=finished.at)
        return store

    return train_with


def updates(store: RunStore) -> list[UpdateDone]:
    return [update for update in store.events(UpdateDone) if update.phase == "train"]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def differ(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return any(not torch.equal(first[name], second[name]) for name in first)


def method(name: str, start: Path, amateur: Path) -> dict[str, Any]:
    changes: dict[str, Any] = {"objective": {"name": name}}
    if name in PAIRED:
        changes["selection"] = "best-and-worst"
    if name == "sft":
        changes["selection"] = "best"
    if name == "on-policy-distillation":
        changes["teacher"] = {"kind": "model", "model": {"name": f"hf/{start}", "device": "cpu"}}
    if name == "light-reasoner":
        changes["objective"]["least_divergence"] = 0.0
        changes["teacher"] = {"kind": "contrast", "model": {"name": f"hf/{amateur}", "device": "cpu"}}
    if name == "sdpo":
        changes["teacher"] = {"success": 0.0}  # any sibling will do
    return changes


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


def test_a_teacher_that_is_the_policy_has_nothing_to_teach(run: Run, start: Path, amateur: Path) -> None:
    """Up to the sampler's last digits; and no judge is asked where nothing is rewarded."""
    store = run(reward="none", steps=1, **method("on-policy-distillation", start, amateur))
    (update,) = updates(store)
    assert update.metrics["kl_to_teacher"] == pytest.approx(0, abs=1e-5)
    assert update.metrics["gradient_norm"] < 1e-3
    assert not [event for event in store.events(JudgementGiven) if event.group.startswith("step-")]
    store.close()


class Interrupted(Exception):
    pass


@pytest.mark.parametrize(
    "changes",
    [
        {"objective": {"name": "aepo", "entropy_low": 0.5, "entropy_high": 1.0}},
        {"objective": {"name": "rlpr", "average_from": 1, "filter_from": 2}},
        {"objective": {"name": "sdpo"}, "teacher": {"success": 0.0, "rate": 0.5}},
        {"objective": {"name": "sdpo-grpo"}, "teacher": {"kind": "trust-region", "share": 0.3}},
        {"objective": {"name": "ppo"}},
        {"objective": {"name": "grpo"}, "adapter": {"kind": "pissa", "rank": 4}},
        {"objective": {"name": "grpo"}, "update_mask": {"parts": ["not-principal"]}},
        {"objective": {"name": "light-reasoner"}},
        {"objective": {"name": "sft"}, "conditioning": {"levels": ["poor: ", "good: "]}},
    ],
    ids=["aepo", "rlpr", "average", "trust-region", "ppo", "pissa", "mask", "contrast", "conditioning"],
)
def test_stopped_and_resumed_it_ends_with_the_same_bits(
    run: Run, start: Path, amateur: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    if changes["objective"]["name"] == "light-reasoner":
        changes = method("light-reasoner", start, amateur)
    changes = changes | {"steps": 4, "checkpoint_every": 2, "reward": "utility"}
    whole = run(**changes)
    config = settings(start, **changes)
    stopped = RunStore.create(tmp_path / "stopped", "train", config)

    def stop(event: Event) -> None:
        stopped.write(event)
        if isinstance(event, UpdateDone) and event.step == 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        asyncio.run(train(config, stopped, stop))
    assert asyncio.run(train(config, stopped, stopped.write)).status == "done"
    one, other = (each.folder / "checkpoints" / "step-000004" for each in (whole, stopped))
    assert not differ(one, other)
    first, second = (torch.load(each / "trainer.pt", weights_only=True) for each in (one, other))
    assert first["objective"] == second["objective"]
    for key in ("teacher", "critic", "adapters"):
        assert all(torch.equal(first[key][name], second[key][name]) for name in first[key])
    for store in (whole, stopped):
        store.close()


def test_steps_that_teach_nothing_are_recorded_with_the_reason(run: Run, start: Path) -> None:
    """A plan of one token is worth nothing, so that all groups are uniform."""
    store = run(
        objective="dapo",
        reward="utility",
        rollout=BASE["rollout"] | {"max_tokens": 1},
        evaluation={"tasks": 1},
    )
    skipped = list(store.events(StepSkipped))
    assert [event.step for event in skipped] == [1, 2]
    assert "the objective kept none of 12 samples" in skipped[0].reason
    assert not differ(start, store.folder / "checkpoints" / "step-000002")
    store.close()


def test_uniform_groups_are_replaced_by_others(run: Run) -> None:
    """Many plans of a few tokens are worth the same."""
    rollout = BASE["rollout"] | {"group_size": 2, "tasks_per_step": 24, "max_tokens": 2}
    store = run(reward="utility", objective="dapo", rollout=rollout, refills=3, steps=1)
    (update,) = updates(store)
    groups = {event.group for event in store.events(TrajectoryFinished) if event.group.startswith("step-1/")}
    assert update.metrics["uniform_groups"] > 0
    assert len(groups) in (48, 72, 96), "no batch was drawn in their place"
    store.close()


def test_an_evaluation_compares_with_baselines_and_keeps_the_best(run: Run, start: Path) -> None:
    baseline = {"name": f"hf/{start}", "device": "cpu"}
    evaluation = {"tasks": 6, "every": 1, "samples": 3, "baselines": [baseline], "patience": 2}
    store = run(
        reward="utility",
        evaluation=evaluation,
        steps=8,
        optimizer={"learning_rate": 1e-6},
        keep_checkpoints=1,
        tensorboard=True,
    )
    found = [update for update in store.events(UpdateDone) if update.phase == "evaluation"]
    rates = [update.metrics["win_rate"] for update in found]
    best = rates.index(max(rates))
    assert len(found) == min(best + 3, 8), "it went on, or stopped too early"
    last = found[-1].metrics
    assert 0 <= last[f"win_rate_low/hf/{start}"] <= last[f"win_rate/hf/{start}"] <= 1
    curve = [last[f"pass@{k}"] for k in (1, 2, 3)]
    assert curve == sorted(curve)
    assert {"start_pass@1", "start_pass@3"} <= last.keys()
    folder = store.folder / "checkpoints"
    assert (folder / "best").readlink().name == f"step-{best + 1:06d}"
    assert {each.name for each in folder.glob("step-*")} == {f"step-{best + 1:06d}", f"step-{len(found):06d}"}
    assert list((store.folder / FOLDER).iterdir())
    store.close()


@pytest.mark.parametrize("kind", ["lora", "pissa"])
def test_adapters_begin_at_the_reference_and_are_merged_into_checkpoints(
    run: Run, start: Path, kind: str
) -> None:
    store = run(
        objective={"name": "grpo", "kl": 0.1},
        reward="utility",
        adapter={"kind": kind, "rank": 4},
        optimizer={"learning_rate": 1e-2, "weight_decay": 0.0},
    )
    assert updates(store)[0].metrics["kl_to_reference"] == pytest.approx(0, abs=1e-5)
    folder = store.folder / "checkpoints" / "step-000002"
    assert weights(folder).keys() == weights(start).keys()
    assert differ(start, folder)
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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "grade"}, "needs a differentiable reward"),
        ({"objective": "dpo"}, "selection=all does not go with objective dpo"),
        ({"objective": "grpo", "selection": "all-pairs"}, "selection=all-pairs does not go"),
        ({"reward": "posterior"}, "objective.advantage=rank-scaled"),
        ({"objective": "on-policy-distillation"}, "teacher.kind=model"),
        ({"teacher": {"kind": "model"}}, "teacher.model is what"),
        ({"adapter": {"kind": "lora"}, "update_mask": {"parts": ["principal"]}}, "one of the two"),
        ({"evaluation": {"patience": 1}}, "needs evaluation.every"),
        ({"evaluation": {"best_of": True}}, "needs evaluation.samples"),
        ({"objective": "light-reasoner"}, "teacher.kind=contrast"),
        ({"teacher": {"rate": 0.5}}, "objective arena-rl learns from no teacher"),
        ({"teacher": {"kind": "model", "model": "openai/gpt-5"}, "objective": "sdpo"}, "give hf/"),
        ({"objective": "grpo", "selection": "best"}, "leaves too few of them"),
        ({"objective": "grpo", "reward": "none"}, "reward=none gives none"),
        ({"objective": "sdpo", "reward": "none", "refills": 1}, "set refills=0"),
        ({"objective": "pipeline-rl", "off_policy": {}}, "weighs twice"),
        ({"families": ["countdown"]}, "judge=programmatic/trip cannot judge tasks of countdown"),
        ({"conditioning": {}}, "needs objective=sft"),
        (
            {"conditioning": {}, "objective": "sft", "reward": "utility", "off_policy": {}},
            "off_policy weighs what the policy drew",
        ),
        ({"objective": "sdpo", "reward": "none", "selection": "best"}, "take selection=all"),
        ({"objective": "sdpo", "teacher": {"kind": "frozen", "rate": 0.1}}, "teacher.kind=average alone"),
        ({"objective": "sdpo", "teacher": {"share": 0.1}}, "teacher.kind=trust-region alone"),
        ({"sampler": {"name": "vllm/policy", "dtype": "bfloat16"}}, "sampler.dtype has no effect"),
        (
            {
                "sampler": {
                    "name": "hosted_vllm/policy",
                    "api_base": "http://127.0.0.1:1/v1",
                    "requests_per_minute": 9,
                }
            },
            "sampler.requests_per_minute has no effect",
        ),
        ({"policy": {"name": "hf/x", "contrast": {"amateur": "hf/y"}}}, "leave it out"),
        ({"policy": {"name": "hf/x", "repeat": "repeat"}}, "leave repeat out"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(start: Path, changes: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settings(start, **changes)


def test_one_family_may_be_named_alone(start: Path) -> None:
    assert settings(start, family="trip").families == ("trip",)


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


def test_what_an_expert_knows_better_is_learnt_at_critical_steps_alone(
    run: Run, start: Path, amateur: Path
) -> None:
    """The divergence from the contrast falls; and where nothing differs by so much, nothing is learnt."""
    changes = method("light-reasoner", start, amateur) | {"reward": "none", "steps": 4}
    optimizer = {"learning_rate": 3e-3, "weight_decay": 0.0}
    few, all_steps = (
        run(
            **changes
            | {"objective": {"name": "light-reasoner", "least_divergence": least}, "optimizer": optimizer}
        )
        for least in (0.4, 0.0)
    )
    assert updates(few)[0].metrics["loss"] > updates(all_steps)[0].metrics["loss"]
    losses = [update.metrics["loss"] for update in updates(all_steps)]
    assert losses[-1] < 0.8 * losses[0]
    none = run(**changes | {"objective": {"name": "light-reasoner", "least_divergence": 50.0}})
    assert [event.step for event in none.events(StepSkipped)] == [1, 2, 3, 4]
    assert not differ(start, none.folder / "checkpoints" / "step-000004")
    for store in (few, all_steps, none):
        store.close()


def test_a_teacher_of_another_vocabulary_is_refused(run: Run, start: Path, tmp_path: Path) -> None:
    """Of the same size."""
    other = TinyModel.build("tiny/other", ["other words altogether"] * 9, TinyConfig(vocabulary=280))
    words = HFModel.from_config(ModelConfig(name=f"hf/{start}")).tokenizer
    module = HFModel.from_config(ModelConfig(name=f"hf/{start}")).module
    assert len(words) != len(other.tokenizer)
    HFModel("other", module, other.tokenizer).save(tmp_path / "other")
    teacher = {"kind": "model", "model": {"name": f"hf/{tmp_path}/other", "device": "cpu"}}
    with pytest.raises(ConfigError, match="have different vocabularies"):
        run(objective="on-policy-distillation", teacher=teacher)


def test_the_best_of_more_answers_is_worth_more(run: Run) -> None:
    """Whoever picks: the utility itself, or a tournament of a judge that goes by it."""
    curves = []
    for reward in ("utility", "tournament"):
        store = run(reward=reward, steps=0, evaluation={"tasks": 8, "samples": 4, "best_of": True})
        evaluation = store.last(UpdateDone)
        assert evaluation is not None
        curves.append([evaluation.metrics[f"best_of@{k}"] for k in (1, 2, 3, 4)])
        store.close()
    assert curves[0] == sorted(curves[0])
    assert curves[0][3] > curves[0][0] + 0.05
    assert curves[1][0] == pytest.approx(curves[0][0])
    assert curves[0][0] < curves[1][3] <= curves[0][3] + 1e-9


def test_a_policy_that_is_told_how_good_to_be_is_asked_for_the_best(run: Run, start: Path) -> None:
    conditioning = {"levels": ["poor: ", "good: "]}
    store = run(
        reward="utility",
        objective="sft",
        conditioning=conditioning,
        optimizer={"learning_rate": 2e-3, "weight_decay": 0.0},
        rollout=BASE["rollout"] | {"tasks_per_step": 8, "group_size": 8},
        steps=2,
    )
    tokenizer = HFModel.from_config(ModelConfig(name=f"hf/{start}", device="cpu")).tokenizer

    def asked(prefix: str) -> str:
        trajectories = (event.trajectory for event in store.events(TrajectoryFinished))
        trace = next(each.trace for each in trajectories if each.id.startswith(prefix))
        assert trace is not None
        return str(tokenizer.decode(list(trace.ids[: trace.mask.index(True)])))

    assert "good: Plan" not in asked("baseline") + asked("step-1/")
    assert "good: Plan" in asked("step-2/")
    assert "good: Plan" in asked("evaluation-2")
    assert len(updates(store)) == 2
    store.close()


def test_metrics_go_to_weights_and_biases_offline(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    store = run(reward="utility", wandb=True)
    (written,) = (store.folder / "wandb").glob(f"offline-run-*/run-{store.folder.name}.wandb")
    text = written.read_bytes()
    assert b"train/gradient_norm" in text
    assert b"evaluation/win_rate" in text
    store.close()
