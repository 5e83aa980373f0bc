"""Metrics for TensorBoard, beside those in the run's own store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from palaestra.core.events import Event, Sink, UpdateDone

FOLDER = "tensorboard"
"""The run's subfolder that TensorBoard is pointed at."""


@contextmanager
def mirrored(folder: Path, emit: Sink) -> Iterator[Sink]:
    """A sink that passes everything on and writes the metrics of updates under `folder` as well.

    They are on disk before the event is: a resumed run does not tell again what is in its store.
    """
    writer = SummaryWriter(str(folder / FOLDER))

    def write(event: Event) -> None:
        if isinstance(event, UpdateDone):
            for name, value in event.metrics.items():
                writer.add_scalar(f"{event.phase}/{name}", value, event.step)
            writer.flush()
        emit(event)

    try:
        yield write
    finally:
        writer.close()
