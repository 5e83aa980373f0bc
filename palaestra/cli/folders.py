"""How a user names a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from palaestra.cli.options import RUNS

LATEST = RUNS / "latest"

RunFolder = Annotated[
    Path, typer.Argument(metavar="[RUN]", help="The run's folder, or its name under ./runs.")
]


def find(run: Path) -> Path:
    """The folder that the user means: a path, or the name of a run under `RUNS`."""
    return run if run.exists() else RUNS / run
