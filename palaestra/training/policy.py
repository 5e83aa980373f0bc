"""The policy that training starts from."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

from palaestra.core.events import Sink, UpdateDone
from palaestra.datasets.families import Example, family
from palaestra.models.config import ModelConfig
from palaestra.models.device_thread import on_device
from palaestra.models.hf import HFModel
from palaestra.models.tiny import TinyModel
from palaestra.training.config import TrainConfig
from palaestra.training.warm_start import warm_start

START = "start"
"""The run's subfolder that holds the policy before the first update."""


async def starting_policy(config: TrainConfig, folder: Path, emit: Sink) -> HFModel:
    """The policy before the first update.

    One that is made or warm-started here is written to `folder` and read back, so that it is the same to the
    last bit when a resumed run reads it.
    """
    made_here = config.policy.name.startswith("tiny/") or config.warm_start.steps > 0
    if made_here and not folder.exists():
        await _make(config, folder, emit)
    source = f"hf/{folder}" if made_here else config.policy.name
    policy = load_policy(config.policy.model_copy(update={"name": source}))
    policy.name = config.policy.name
    return policy


def load_policy(config: ModelConfig) -> HFModel:
    """The weights in the type in which they are trained: float32, unless bfloat16 is asked for."""
    dtype = "bfloat16" if config.dtype == "bfloat16" else "float32"
    return HFModel.from_config(config.model_copy(update={"dtype": dtype}))


async def _make(config: TrainConfig, folder: Path, emit: Sink) -> None:
    examples = examples_of(config)
    policy = untrained(config, examples)
    if config.warm_start.steps:
        updates = warm_start(policy, examples, config.warm_start, config.rollout.show_context, config.seed)
        for step in range(1, config.warm_start.steps + 1):
            metrics = await on_device(policy.module.device, next, updates)
            emit(UpdateDone(step=step, phase="warm-start", metrics=metrics))
    await policy.close()
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    policy.save(partial)
    partial.rename(folder)


def examples_of(config: TrainConfig) -> list[Example]:
    """Answers to imitate, of all families in equal shares."""
    share = math.ceil(config.warm_start.examples / len(config.families))
    return [example for name in config.families for example in family(name).examples(share, seed=config.seed)]


def untrained(config: TrainConfig, examples: list[Example]) -> HFModel:
    """The policy that `policy.name` stands for; a tiny one has its tokenizer from the examples."""
    if not config.policy.name.startswith("tiny/"):
        return HFModel.from_config(config.policy.model_copy(update={"dtype": "float32"}))
    corpus = [text for task, answer in examples for text in (task.prompt, answer)]
    return TinyModel.build(config.policy.name, corpus, config.tiny, config.policy.device, config.seed)
