"""The policy that training starts from."""

from __future__ import annotations

import asyncio
from pathlib import Path

from palaestra.core.events import Sink, UpdateDone
from palaestra.datasets.families import Example, TaskFamily
from palaestra.models.hf import HFModel
from palaestra.models.tiny import TinyModel
from palaestra.training.config import TrainConfig
from palaestra.training.warm_start import warm_start

START = "start"
"""The run's subfolder that holds the policy before the first update."""


async def starting_policy(config: TrainConfig, family: TaskFamily, folder: Path, emit: Sink) -> HFModel:
    """The policy after its warm start, from `folder` if an earlier start of the run has put it there."""
    if folder.exists():
        return HFModel.from_config(config.policy.model_copy(update={"name": f"hf/{folder}"}))
    examples = family.examples(config.warm_start.examples, seed=config.seed)
    policy = _untrained(config, examples)
    updates = warm_start(policy, examples, config.warm_start, config.rollout.show_context, config.seed)
    for step, metrics in enumerate(updates, start=1):
        emit(UpdateDone(step=step, phase="warm-start", metrics=metrics))
        await asyncio.sleep(0)  # lets an interrupt in between two steps
    partial = folder.with_suffix(".partial")
    policy.save(partial)
    partial.rename(folder)
    return policy


def _untrained(config: TrainConfig, examples: list[Example]) -> HFModel:
    if not config.policy.name.startswith("tiny/"):
        return HFModel.from_config(config.policy)
    corpus = [text for task, answer in examples for text in (task.prompt, answer)]
    return TinyModel.build(config.policy.name, corpus, config.tiny, config.policy.device, config.seed)
