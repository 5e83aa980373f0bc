"""`palaestra sandbox`."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from palaestra.sandbox.docker.engine import connect
from palaestra.sandbox.docker.image import build, image_name


class Action(StrEnum):
    build = "build"


def sandbox(
    action: Annotated[
        Action, typer.Argument(help="build: pack this system's Python into an image; nothing is downloaded.")
    ],
) -> None:
    """Make what the sandbox backend 'docker' needs."""
    print(f"making {image_name()} of {sys.version.split()[0]} ({sys.base_prefix})", file=sys.stderr)
    print(build(connect()))
