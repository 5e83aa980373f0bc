"""`palaestra clean`."""

from __future__ import annotations

import sys

from palaestra.cli.text import print_table
from palaestra.sandbox.docker.engine import connect
from palaestra.sandbox.docker.leftovers import sweep


def clean() -> None:
    """Remove what sandboxes of dead processes left behind."""
    removed = sweep(connect())
    if removed:
        print_table(("removed",), [(name,) for name in removed])
    else:
        print("nothing was left behind", file=sys.stderr)
