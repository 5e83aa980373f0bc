"""Metrics for Weights & Biases, beside those in the run's own store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import wandb
import yaml

from palaestra.core.errors import ConfigError
from palaestra.core.events import Event, Sink, UpdateDone

FOLDER = "wandb"
"""The run's subfolder that the service's own files are in; `wandb sync` sends what an offline run left."""


@contextmanager
def mirrored(folder: Path, emit: Sink) -> Iterator[Sink]:
    """A sink that passes everything on and sends the metrics of updates as well.

    The run's id is the name of its folder, so that a resumed run goes on with the same curves. Each phase has
    its own steps as the horizontal axis.

    Raises:
        ConfigError: the service refuses.
    """
    settings = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    try:
        run = wandb.init(
            dir=folder,
            id=folder.name,
            name=folder.name,
            resume="allow",
            config=settings,
            settings=wandb.Settings(console="off", silent=True),
        )
    except wandb.Error as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"wandb=true: {reason.rstrip('.')}, or set WANDB_MODE=offline") from error
    for phase in ("warm-start", "train", "evaluation"):
        run.define_metric(f"{phase}/*", step_metric=f"{phase}/step")

    def write(event: Event) -> None:
        if isinstance(event, UpdateDone):
            metrics = {f"{event.phase}/{name}": value for name, value in event.metrics.items()}
            run.log(metrics | {f"{event.phase}/step": event.step})
        emit(event)

    failed = 1
    try:
        yield write
        failed = 0
    finally:
        run.finish(exit_code=failed)
