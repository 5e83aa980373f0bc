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
from palaestra.core.errors import JudgeError
from palaestra.core.events import CheckpointSaved, JudgementGiven, RankingMade, TrajectoryFinished, UpdateDone
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
        "temperature": 1.0,
        "max_tokens": 40,
        "show_context": False,
    },
    "judge": "programmatic/trip",
    "optimizer": {"learning_rate": 1e-3, "weight_decay": 0.0},
    "objective": {"kl": 0.02},
    "minibatches": 2,
    "steps": 6,
    "evaluation": {"tasks": 10},
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


def wait_for_updates(out: Path, count: int) -> Path:
    for _ in range(600):
        time.sleep(0.1)
        if out.exists() and (out / "latest").exists():
            store = RunStore.open(only_run(out))
            updates = [update for update in store.events(UpdateDone) if update.phase == "train"]
            store.close()
            if len(updates) >= count:
                return only_run(out)
    raise AssertionError("no update came")


def test_killed_and_resumed_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    assert start_command(tmp_path, "whole").wait() == 0
    whole = only_run(tmp_path / "whole")

    killed = start_command(tmp_path, "killed")
    run = wait_for_updates(tmp_path / "killed", 3)
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    store = RunStore.open(run)
    before = list(store.events(JudgementGiven))
    checkpoint = store.last(CheckpointSaved)
    store.close()
    assert checkpoint is not None
    assert checkpoint.step < SETTINGS["steps"]

    assert (
        subprocess.run(
            [sys.executable, "-m", "palaestra", "resume", str(run), "--display", "none"]
        ).returncode
        == 0
    )
    assert same(weights(whole, "start"), weights(run, "start"))
    assert same(weights(whole, "checkpoints/step-000006"), weights(run, "checkpoints/step-000006"))
    assert not same(weights(run, "start"), weights(run, "checkpoints/step-000006"))

    store, reference = RunStore.open(run), RunStore.open(whole)
    after = [
        (given.group, given.first, given.second, given.attempt) for given in store.events(JudgementGiven)
    ]
    expected = {
        (given.group, given.first, given.second, given.attempt) for given in reference.events(JudgementGiven)
    }
    assert len(before) > 0
    assert len(after) == len(set(after)), "a stored verdict was asked again"
    assert set(after) == expected
    trajectories = [event.trajectory.id for event in store.events(TrajectoryFinished)]
    assert len(trajectories) == len(set(trajectories)), "a stored rollout was drawn again"
    last, last_reference = store.last(UpdateDone), reference.last(UpdateDone)
    assert last is not None
    assert last_reference is not None
    assert last.metrics == last_reference.metrics
    store.close()
    reference.close()


def test_it_learns_and_writes_what_it_did(tmp_path: Path) -> None:
    config = settings(steps=16, rollout=SETTINGS["rollout"] | {"tasks_per_step": 8, "group_size": 8})
    store = RunStore.create(tmp_path, "train", config)
    assert asyncio.run(train(config, store, store.write)).status == "done"
    evaluation = store.last(UpdateDone)
    assert evaluation is not None
    assert evaluation.phase == "evaluation"
    updates = [update for update in store.events(UpdateDone) if update.phase == "train"]
    assert [update.step for update in updates] == list(range(1, 17))
    first, last = (sum(u.metrics["utility"] for u in part) / 4 for part in (updates[:4], updates[-4:]))
    assert last > first + 0.1
    assert all(update.metrics["sampler_gap_max"] < 1e-3 for update in updates)
    rankings = [event for event in store.events(RankingMade) if event.group.startswith("step-")]
    assert len(rankings) == 16 * 8
    assert {standing.rank for standing in rankings[0].ranking.standings} == set(range(8))
    assert sorted(path.name for path in (store.folder / "checkpoints").iterdir()) == [
        "step-000014",
        "step-000016",
    ]
    store.close()


def test_a_judge_without_verdicts_ends_the_run_with_one_line(tmp_path: Path) -> None:
    judge = {"kind": "llm", "model": "scripted/nonsense"}
    config = settings(judge=judge, warm_start={"steps": 1, "examples": 10}, tournament={"retries": 0})
    store = RunStore.create(tmp_path, "train", config)
    with pytest.raises(JudgeError, match="ranked none of 4 groups"):
        asyncio.run(train(config, store, store.write))
    assert store.last(TrajectoryFinished) is not None
    store.close()
