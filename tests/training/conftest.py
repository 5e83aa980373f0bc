import asyncio
import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from palaestra.core.chat import Completion, Message, Sampling
from palaestra.core.config import validate
from palaestra.models.tiny import TinyConfig, TinyModel
from palaestra.store.run_store import RunStore
from palaestra.training.config import TrainConfig
from palaestra.training.objectives.registry import AnyObjectiveConfig, objective
from palaestra.training.optimizer import OptimizerConfig
from palaestra.training.pipeline import train
from palaestra.training.samples import Sample
from palaestra.training.teacher import Teacher, TeacherConfig, TeacherKind
from palaestra.training.updater import Updater
from tests.training.runs import BASE, Run, settings, updates

SMALL = TinyConfig(vocabulary=300, hidden=32, layers=2, heads=2, feed_forward=64, window=256)
PROMPTS = ("plan a day", "plan", "a museum")


@pytest.fixture
def policy() -> TinyModel:
    """An untrained policy of a few thousand parameters, always the same."""
    return TinyModel.build(
        "tiny/test", ["plan a day", "09:00 Grove Museum"] * 20, SMALL, device="cpu", seed=1
    )


@pytest.fixture
def rollouts(policy: TinyModel) -> list[Sample]:
    """Three groups of four sampled answers, with rewards that differ."""

    async def draw() -> list[Completion]:
        messages = [[Message(role="user", content=prompt)] for prompt in PROMPTS for _ in range(4)]
        samplings = [Sampling(max_tokens=3 + 2 * seed % 9, seed=seed) for seed in range(12)]
        return await asyncio.gather(*map(policy.generate, messages, samplings))

    return [
        Sample(each.trace, reward=(row * 5 % 12) / 11, group=row // 4, family=row // 8)
        for row, each in enumerate(asyncio.run(draw()))
        if each.trace
    ]


@pytest.fixture
def updater_of(policy: TinyModel) -> Callable[..., Updater]:
    """An updater of a twin of the policy, by objective, optimizer and kind of teacher."""

    def build(
        chosen: AnyObjectiveConfig,
        settings: OptimizerConfig | None = None,
        kind: TeacherKind | None = None,
        **others: Any,
    ) -> Updater:
        twin, other = copy.deepcopy(policy.module), moved(policy.module)
        settings_of_teacher = TeacherConfig.model_construct(kind=kind or "average", rate=0.5, share=0.3)
        return Updater(
            twin,
            objective(chosen),
            settings or OptimizerConfig(),
            steps=10,
            reference=moved(policy.module),
            teacher=Teacher(settings_of_teacher, twin, other) if kind else None,
            **others,
        )

    return build


def moved(module: PreTrainedModel) -> PreTrainedModel:
    """A policy not far from this one."""
    other = copy.deepcopy(module)
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in other.parameters():
            weight.add_(0.02 * torch.randn(weight.shape, generator=draw))
    return other


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def amateur(start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a part of what it learned shaken out of it."""
    folder = tmp_path_factory.mktemp("amateur")
    shutil.copytree(start, folder, dirs_exist_ok=True)
    kept = load_file(folder / "model.safetensors")
    draw = torch.Generator().manual_seed(1)
    shaken = {name: each + 0.06 * torch.randn(each.shape, generator=draw) for name, each in kept.items()}
    save_file(shaken, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture
def run(start: Path, tmp_path: Path) -> Run:
    def train_with(**changes: Any) -> RunStore:
        config = settings(start, **changes)
        store = RunStore.create(tmp_path / "runs", "train", config)
        finished = asyncio.run(train(config, store, store.write))
        store.write(finished)
        skipped_all = config.steps > 0 and not updates(store)
        assert finished.status == ("failures" if skipped_all else "done")
        return store

    return train_with
