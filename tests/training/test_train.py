"""A whole small training run: it learns, it survives being killed, and it is exact."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from palaestra.core.config import validate
from palaestra.core.errors import ConfigError, JudgeError, TrainingError
from palaestra.core.events import JudgementGiven, RankingMade, TrajectoryFinished, UpdateDone
from palaestra.store.run_store import RunStore
from palaestra.training.config import TrainConfig
from palaestra.training.pipeline import train

SETTINGS: dict[str, Any] = {
    "policy": {"name": "tiny/trip", "device": "cpu", "concurrency": 256},
    "tiny": {"hidden": 64, "layers": 2, "heads": 2, "feed_forward": 128, "window": 192},
    "warm_start": {"steps": 60, "examples": 600, "batch_size": 32, "optimizer": {"learning_rate": 5e-3}},
    "rollout": {
        "tasks_per_step": 4,
        "group_size": 4,
        "temperature": 0.8,
        "max_tokens": 40,
        "show_context": False,
    },
    "judge": "programmatic/trip",
    "optimizer": {"learning_rate": 1e-3, "weight_decay": 0.0, "schedule": "cosine"},
    "objective": {"kl": 0.02},
    "minibatches": 2,
    "steps": 6,
    "evaluation": {"tasks": 10, "every": 3},
    "checkpoint_every": 2,
}


def weights(run: Path, folder: str) -> dict[str, torch.Tensor]:
    return load_file(run / folder / "model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def settings(**changes: object) -> TrainConfig:
    return validate(TrainConfig, SETTINGS | changes, source="test")


def start_command(tmp_path: Path, name: str) -> subprocess.Popen[bytes]:
    config = tmp_path / "train.yaml"
    config.write_text(yaml.safe_dump(SETTINGS), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "palaestra",
        "train",
        "--config",
        str(config),
        "--out",
        str(tmp_path / name),
    ]
    return subprocess.Popen([*command, "--display", "none"])


def only_run(out: Path) -> Path:
    (run,) = (folder for folder in out.iterdir() if folder.is_dir() and not folder.is_symlink())
    return run


def wait_for_updates(running: subprocess.Popen[bytes], out: Path, phase: str, count: int) -> Path:
    while running.poll() is None:
        time.sleep(0.05)
        if (out / "latest").exists():
            store = RunStore.open(only_run(out))
            updates = [update for update in store.events(UpdateDone) if update.phase == phase]
            store.close()
            if len(updates) >= count:
                return only_run(out)
    raise AssertionError("it ended before the update came")


def facts(run: Path) -> tuple[list[object], list[object], list[object]]:
    """What was judged, drawn and measured, in written order and without times."""
    store = RunStore.open(run)
    judged = [(each.group, each.first, each.second, each.attempt) for each in store.events(JudgementGiven)]
    drawn = [event.trajectory.id for event in store.events(TrajectoryFinished)]
    measured = [
        (each.phase, each.step, {k: v for k, v in each.metrics.items() if not k.startswith("seconds")})
        for each in store.events(UpdateDone)
    ]
    store.close()
    return [*judged], [*drawn], [*measured]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    assert start_command(folder, "runs").wait() == 0
    return only_run(folder / "runs")


@pytest.mark.parametrize(("phase", "count"), [("warm-start", 5), ("train", 1), ("evaluation", 1)])
def test_killed_and_resumed_it_ends_with_the_same_bits(
    whole: Path, tmp_path: Path, phase: str, count: int
) -> None:
    killed = start_command(tmp_path, "runs")
    run = wait_for_updates(killed, tmp_path / "runs", phase, count)
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL, "it was over before it could be killed"
    judged, drawn, _ = facts(run)

    resume = [sys.executable, "-m", "palaestra", "resume", str(run), "--display", "none"]
    assert subprocess.run(resume).returncode == 0
    assert same(weights(whole, "start"), weights(run, "start"))
    assert same(weights(whole, "checkpoints/step-000006"), weights(run, "checkpoints/step-000006"))
    assert not same(weights(run, "start"), weights(run, "checkpoints/step-000006"))

    expected, resumed = facts(whole), facts(run)
    assert (resumed[0][: len(judged)], resumed[1][: len(drawn)]) == (judged, drawn)
    for found, wanted in zip(resumed[:2], expected[:2], strict=True):
        assert len(found) == len(set(found)), "what was stored was asked or drawn again"
        assert set(found) == set(wanted)
    training = [each for each in resumed[2] if isinstance(each, tuple) and each[0] != "warm-start"]
    assert training == [each for each in expected[2] if isinstance(each, tuple) and each[0] != "warm-start"]


def test_it_learns_and_writes_what_it_did(tmp_path: Path) -> None:
    config = settings(steps=24, rollout=SETTINGS["rollout"] | {"tasks_per_step": 8, "group_size": 8})
    store = RunStore.create(tmp_path, "train", config)
    assert asyncio.run(train(config, store, store.write)).status == "done"
    evaluation = store.last(UpdateDone)
    assert evaluation is not None
    assert evaluation.phase == "evaluation"
    updates = [update for update in store.events(UpdateDone) if update.phase == "train"]
    assert [update.step for update in updates] == list(range(1, 25))
    first, last = (sum(u.metrics["utility"] for u in part) / 4 for part in (updates[:4], updates[-4:]))
    assert last > first + 0.1
    assert all(update.metrics["sampler_gap_max"] < 1e-3 for update in updates)
    rankings = [event for event in store.events(RankingMade) if event.group.startswith("step-")]
    assert len(rankings) == 24 * 8
    assert {standing.rank for standing in rankings[0].ranking.standings} == set(range(8))
    kept = {path.name for path in (store.folder / "checkpoints").glob("step-*")}
    assert kept == {"step-000022", "step-000024", (store.folder / "checkpoints" / "best").readlink().name}
    store.close()


def test_a_judge_without_verdicts_ends_the_run_with_one_line(tmp_path: Path) -> None:
    judge = {"kind": "llm", "model": "scripted/nonsense"}
    config = settings(judge=judge, warm_start={"steps": 1, "examples": 10}, tournament={"retries": 0})
    store = RunStore.create(tmp_path, "train", config)
    with pytest.raises(JudgeError, match="ranked none of 4 groups"):
        asyncio.run(train(config, store, store.write))
    assert store.last(TrajectoryFinished) is not None
    store.close()


def test_a_limit_caps_the_tasks_and_not_the_batch(tmp_path: Path) -> None:
    config = settings(limit=2, steps=1, warm_start={"steps": 1, "examples": 10})
    store = RunStore.create(tmp_path, "train", config)
    assert asyncio.run(train(config, store, store.write)).status == "done"
    trajectories = [event.trajectory for event in store.events(TrajectoryFinished) if event.group]
    evaluation = store.last(UpdateDone)
    store.close()
    assert len(trajectories) == 4 * 4
    assert len({trajectory.task_id for trajectory in trajectories}) == 2
    assert evaluation is not None
    assert evaluation.metrics["judged"] == 2


def test_a_prompt_that_does_not_fit_is_recorded_and_told(tmp_path: Path) -> None:
    rollout = SETTINGS["rollout"] | {"show_context": True}
    config = settings(rollout=rollout, warm_start={"steps": 0, "examples": 10})
    store = RunStore.create(tmp_path, "train", config)
    with pytest.raises(TrainingError, match=r"no group of rollouts is whole: .*window of 192 tokens"):
        asyncio.run(train(config, store, store.write))
    statuses = {event.trajectory.status for event in store.events(TrajectoryFinished)}
    store.close()
    assert statuses == {"error"}


@pytest.mark.parametrize(
    ("policy", "message"),
    [("openai/gpt-5", "cannot be trained"), ({"name": "hf/x", "dtype": "float16"}, "overflow")],
)
def test_a_policy_that_cannot_be_trained_is_refused(policy: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settings(policy=policy)
