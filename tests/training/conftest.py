import asyncio
import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from palaestra.core.chat import Completion, Message, Sampling
from palaestra.models.tiny import TinyConfig, TinyModel
from palaestra.training.objectives.registry import AnyObjectiveConfig, objective
from palaestra.training.optimizer import OptimizerConfig
from palaestra.training.samples import Sample
from palaestra.training.teacher import Teacher, TeacherConfig, TeacherKind
from palaestra.training.updater import Updater

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
