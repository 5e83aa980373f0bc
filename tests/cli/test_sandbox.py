"""The verbs that care for the sandbox's containers, where there is no engine."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def _no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")


@pytest.mark.parametrize("words", [("sandbox", "build"), ("clean",)])
def test_a_verb_that_needs_an_engine_says_so_in_one_line(palaestra: Run, words: tuple[str, ...]) -> None:
    done = palaestra(*words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("error: no Docker engine answers")


def test_the_doctor_goes_on_without_an_engine(palaestra: Run) -> None:
    done = palaestra("doctor")
    assert done.returncode == 0
    assert "none: no Docker engine answers (No such file or directory): start one, or" in done.stdout
