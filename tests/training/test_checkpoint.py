"""Runs that are stopped and go on from a checkpoint, and what is kept in one."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import torch

from palaestra.training.pipeline import train
from tests.training.runs import Run, differ, interrupted, method, settings, updates, weights

AEPO_IN_ITS_BAND = {
    "objective": {"name": "aepo", "entropy_low": 0.5, "entropy_high": 2.4},
    "stages": [{"steps": 2, "max_tokens": 2}, {"steps": 2}],
}
"""The first two tokens have an entropy of 2.8 nats on average, plans as a whole 2.1: what the controller
decided on the former, before the checkpoint, stays in force."""


@pytest.mark.parametrize(
    "changes",
    [
        AEPO_IN_ITS_BAND,
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
    stopped = interrupted(config, tmp_path / "stopped", after=3)
    assert asyncio.run(train(config, stopped, stopped.write)).status == "done"
    one, other = (each.folder / "checkpoints" / "step-000004" for each in (whole, stopped))
    assert not differ(one, other)
    first, second = (torch.load(each / "trainer.pt", weights_only=True) for each in (one, other))
    assert first["objective"] == second["objective"]
    if changes["objective"] == AEPO_IN_ITS_BAND["objective"]:
        assert first["objective"] == {"use_negatives": False}
    for key in ("teacher", "critic", "adapters"):
        assert all(torch.equal(first[key][name], second[key][name]) for name in first[key])
    for store in (whole, stopped):
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
