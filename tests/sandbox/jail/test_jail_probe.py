import os
import subprocess
from pathlib import Path

import pytest

from palaestra.sandbox.jail.config import JailConfig
from palaestra.sandbox.jail.probe import probe
from tests.attacks.watch import eventually
from tests.sandbox.descriptors import descriptors


def test_what_is_there_was_tried_out_and_what_is_missing_is_told(python: str) -> None:
    found = probe(JailConfig(python=python))
    assert found.tiers == {"namespaces": "", "landlock": ""}
    assert found.kernel["landlock"].startswith("version ")
    nowhere = probe(JailConfig(python="/nowhere/python3"))
    problem = "/nowhere/python3 cannot be executed (No such file or directory)"
    assert nowhere.tiers == {"namespaces": problem, "landlock": problem}


def living_children() -> set[str]:
    """Also those that became children of this process when their own parents ended."""
    found = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    stats = {child: Path(f"/proc/{child}/stat") for child in found}
    return {child for child, stat in stats.items() if stat.exists() and ") Z " not in stat.read_text()}


def test_trying_leaves_nothing() -> None:
    opened, processes = descriptors(), living_children()
    probe(JailConfig())
    assert not descriptors() - opened
    assert eventually(lambda: living_children() <= processes)


@pytest.mark.skipif(os.geteuid() != 0, reason="another user reads what the host reads, unless that is root")
def test_a_python_that_its_owner_alone_may_read_is_named(python: str, tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(0o700)
    subprocess.run([python, "-m", "venv", "--copies", "--without-pip", private / "env"], check=True)
    config = JailConfig(python=str(private / "env" / "bin" / "python"), site_packages=True)
    problem = probe(config).tiers["landlock"]
    assert problem.startswith(f"sessions may not read {private}/")
    assert problem.endswith(": set sandbox.jail.python to one that all users may")
