"""One process at a time writes a run."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from palaestra.core.errors import StoreError
from palaestra.store.lock import hold, is_held

HOLDER = """
import sys, time
from pathlib import Path
from palaestra.store.lock import hold

with hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_lock_is_had_by_one_process_and_dies_with_it(tmp_path: Path) -> None:
    assert not is_held(tmp_path)
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert is_held(tmp_path)
        with pytest.raises(StoreError, match="is being written by another process"), hold(tmp_path):
            pass
        holder.kill()
    with hold(tmp_path):
        assert is_held(tmp_path)
    assert not is_held(tmp_path)


def test_a_look_at_the_lock_does_not_keep_the_writer_out(tmp_path: Path) -> None:
    with hold(tmp_path):
        pass
    command = [sys.executable, "-c", LOOKER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as looker:
        assert looker.stdout is not None
        assert looker.stdout.readline() == "looking\n"
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            with hold(tmp_path):
                pass
        looker.kill()


LOOKER = """
import sys
from pathlib import Path
from palaestra.store.lock import is_held

print("looking", flush=True)
while True:
    is_held(Path(sys.argv[1]))
"""
