"""What Weights & Biases is told of a run, and how it ends there."""

import asyncio
import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wandb.proto import wandb_internal_pb2

from palaestra.core.events import UpdateDone, discard
from palaestra.training.pipeline import train
from palaestra.training.weights_and_biases import mirrored
from tests.training.runs import interrupted, settings


def written(file: Path) -> Iterator[Any]:
    """Records of an offline run: a header of 7 bytes, then checksum, length, type and content of each."""
    data = file.read_bytes()
    place = 7
    while place + 7 < len(data):
        _, length, _ = struct.unpack_from("<IHB", data, place)
        content = data[place + 7 : place + 7 + length]
        if len(content) == length:
            yield wandb_internal_pb2.Record.FromString(content)  # type: ignore[attr-defined] # made at run time
        place += 7 + length


def records(file: Path) -> list[Any]:
    """Those of a run that is over; the process that writes them may come to the last one a little later."""
    for _ in range(600):
        found = list(written(file))
        if any(each.HasField("exit") for each in found):
            return found
        time.sleep(0.05)
    raise AssertionError(f"{file} has no end")


@pytest.mark.parametrize("fails", [False, True])
def test_a_run_that_failed_has_failed_there_too(
    fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text("steps: 1\n", encoding="utf-8")

    def train() -> None:
        with mirrored(folder, discard):
            if fails:
                raise KeyError("of the training")

    if fails:
        with pytest.raises(KeyError):
            train()
    else:
        train()
    (file,) = (folder / "wandb").glob("offline-run-*/*.wandb")
    assert [each.exit.exit_code for each in records(file) if each.HasField("exit")] == [int(fails)]


def told(file: Path) -> Iterator[dict[str, float]]:
    """The metrics of each update, by name."""
    for each in records(file):
        if each.HasField("history"):
            items = {item.key or "/".join(item.nested_key): item.value_json for item in each.history.item}
            yield {name: json.loads(value) for name, value in items.items() if not name.startswith("_")}


def test_a_resumed_run_tells_every_metric_once(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Step 3 is done again, since the last checkpoint is of step 2."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    changes = {"reward": "utility", "steps": 4, "checkpoint_every": 2, "wandb": True}
    config = settings(start, **changes)
    store = interrupted(config, tmp_path, after=3)
    assert asyncio.run(train(config, store, store.write)).status == "done"
    files = (store.folder / "wandb").glob(f"offline-run-*/run-{store.folder.name}.wandb")
    found = [metrics for file in sorted(files) for metrics in told(file)]
    expected = [
        {f"{update.phase}/{name}": value for name, value in update.metrics.items()}
        | {f"{update.phase}/step": update.step}
        for update in store.events(UpdateDone)
    ]
    assert [update.get("train/step") for update in expected] == [1, 2, 3, 4, None]
    assert found == [pytest.approx(update) for update in expected]
    store.close()
