"""Whole training runs of a few steps: their settings, and what is read of them."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from palaestra.core.config import validate
from palaestra.core.events import Event, UpdateDone
from palaestra.store.run_store import RunStore
from palaestra.training.config import TrainConfig
from palaestra.training.pipeline import train

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
PAIRED = {"dpo", "simpo"}
Run = Callable[..., RunStore]


def settings(start: Path, **changes: Any) -> TrainConfig:
    policy = {"name": f"hf/{start}", "device": "cpu", "concurrency": 256}
    return validate(TrainConfig, BASE | {"policy": policy} | changes, source="test")


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


def updates(store: RunStore) -> list[UpdateDone]:
    return [update for update in store.events(UpdateDone) if update.phase == "train"]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def differ(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return any(not torch.equal(first[name], second[name]) for name in first)


class Interrupted(Exception):
    pass


def interrupted(config: TrainConfig, folder: Path, after: int) -> RunStore:
    """A run that was stopped when it had written this step; its last checkpoint may be older."""
    store = RunStore.create(folder, "train", config)

    def stop(event: Event) -> None:
        store.write(event)
        if isinstance(event, UpdateDone) and event.step == after:
            raise Interrupted

    with pytest.raises(Interrupted):
        asyncio.run(train(config, store, stop))
    return store
