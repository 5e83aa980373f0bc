import os
from pathlib import Path

from palaestra.sandbox.jail.config import JailConfig
from palaestra.sandbox.jail.probe import probe


def test_what_is_there_was_tried_out_and_what_is_missing_is_told(python: str) -> None:
    found = probe(JailConfig(python=python))
    assert found.tiers == {"namespaces": "", "landlock": ""}
    assert found.kernel["landlock"].startswith("version ")
    nowhere = probe(JailConfig(python="/nowhere/python3"))
    problem = "/nowhere/python3 cannot be executed (No such file or directory)"
    assert nowhere.tiers == {"namespaces": problem, "landlock": problem}


def test_trying_leaves_nothing() -> None:
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    descriptors, processes = len(os.listdir("/proc/self/fd")), children.read_text()
    probe(JailConfig())
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert children.read_text() == processes
