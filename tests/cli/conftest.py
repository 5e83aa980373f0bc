"""Real processes: the console script, and a small verb of the tests' own."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

COUNTING = Path(__file__).with_name("counting.py")
SCRIPT = Path(sysconfig.get_path("scripts")) / "palaestra"


@pytest.fixture
def palaestra(tmp_path: Path) -> Run:
    """Run the console script in an empty folder."""

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        command = [str(SCRIPT), *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)

    return run


@pytest.fixture
def start_counting(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start the counting verb of `counting.py` in an empty folder."""

    def start(*words: object, stderr: int = subprocess.PIPE) -> subprocess.Popen[str]:
        command = [sys.executable, str(COUNTING), *map(str, words)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=tmp_path)

    return start


@pytest.fixture
def counting(start_counting: Callable[..., subprocess.Popen[str]]) -> Run:
    """Run the counting verb to its end."""

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        with start_counting(*words) as process:
            stdout, stderr = process.communicate(timeout=60)
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    return run
