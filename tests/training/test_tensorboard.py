"""What TensorBoard reads of a run."""

import asyncio
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from palaestra.core.events import UpdateDone
from palaestra.training.pipeline import train
from palaestra.training.tensorboard import FOLDER
from tests.training.runs import interrupted, settings

Point = tuple[str, int, float]


def points(folder: Path) -> list[Point]:
    """Name, step and value of all that was written, in any of the files."""
    return [
        (value.tag, event.step, value.tensor.float_val[0])
        for file in folder.iterdir()
        for event in EventFileLoader(str(file)).Load()
        for value in event.summary.value
    ]


def test_a_resumed_run_tells_every_metric_once(start: Path, tmp_path: Path) -> None:
    """Step 3 is done again, since the last checkpoint is of step 2."""
    changes = {"reward": "utility", "steps": 4, "checkpoint_every": 2, "tensorboard": True}
    config = settings(start, **changes, evaluation={"tasks": 2, "every": 1})
    store = interrupted(config, tmp_path, after=3)
    assert asyncio.run(train(config, store, store.write)).status == "done"
    expected = sorted(
        (f"{update.phase}/{name}", update.step, value)
        for update in store.events(UpdateDone)
        for name, value in update.metrics.items()
    )
    found = sorted(points(store.folder / FOLDER))
    assert {step for _, step, _ in expected} == {1, 2, 3, 4}
    assert [point[:2] for point in found] == [point[:2] for point in expected]
    assert [value for *_, value in found] == pytest.approx([value for *_, value in expected], rel=1e-5)
    store.close()
