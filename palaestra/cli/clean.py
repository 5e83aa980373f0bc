"""`palaestra clean`."""

from __future__ import annotations

import sys

from palaestra.cli.text import print_table
from palaestra.sandbox.docker.engine import connect
from palaestra.sandbox.docker.leftovers import sweep


def clean() -> None:
    """Remove containers that dead processes left behind.

    What they left of other sandboxes is removed when the next one starts.
    """
    removed = sweep(connect())
    if removed:
        print_table(("removed",), [(name,) for name in removed])
    else:
        print("nothing was left behind", file=sys.stderr)
