"""The state of an objective, beside the checkpoint of another library's trainer."""

from __future__ import annotations

import json
from pathlib import Path

from palaestra.core.errors import TrainingError
from palaestra.training.objectives.base import Objective

FILE = "objective.json"


def store_objective(objective: Objective, checkpoint: Path) -> None:
    """Write its state into the checkpoint's folder."""
    (checkpoint / FILE).write_text(json.dumps(objective.stored()), encoding="utf-8")


def restored_objective(objective: Objective, checkpoint: Path) -> Objective:
    """The objective with the state that was stored there.

    Raises:
        TrainingError: none was.
    """
    file = checkpoint / FILE
    if not file.is_file():
        raise TrainingError(
            f"{checkpoint} holds no {FILE}, without which {type(objective).__name__} cannot go on; resume "
            "from a checkpoint of this trainer, or start anew"
        )
    return objective.restored(json.loads(file.read_text(encoding="utf-8")))
