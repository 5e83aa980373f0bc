import os
from pathlib import Path

import pytest

from palaestra.core.errors import SandboxUnavailable
from palaestra.sandbox.docker.engine import connect, problems
from palaestra.sandbox.docker.report import known_bad

ABLE = {
    "KernelVersion": os.uname().release,
    "Runtimes": {"runc": {}},
    "MemoryLimit": True,
    "SwapLimit": True,
    "PidsLimit": True,
    "SecurityOptions": ["name=seccomp,profile=default"],
}


def test_without_an_engine_the_way_to_one_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody")
    with pytest.raises(SandboxUnavailable, match=r"DOCKER_HOST.*palaestra sandbox build"):
        connect()


@pytest.mark.parametrize(
    ("lack", "told"),
    [
        ({"KernelVersion": "6.6-linuxkit"}, "virtual machine"),
        ({"Runtimes": {"crun": {}}}, "no runtime 'runc' .only crun."),
        ({"PidsLimit": False, "SwapLimit": False}, "cannot bound swap, processes"),
        ({"SecurityOptions": None}, "no seccomp"),
    ],
)
def test_an_engine_that_cannot_keep_the_promises_is_refused(lack: dict[str, object], told: str) -> None:
    assert problems(ABLE, "runc") == []
    (problem,) = problems(ABLE | lack, "runc")
    assert told in problem.replace("(", ".").replace(")", ".")


@pytest.mark.parametrize(
    ("runc", "flaws"),
    [("1.1.5+ds1", 2), ("1.2.7", 1), ("1.2.8", 0), ("1.3.2", 1), ("1.3.3-0ubuntu1", 0), ("odd", 0)],
)
def test_versions_with_known_holes_are_told(runc: str, flaws: int) -> None:
    assert len(known_bad({"runc": runc, "engine": "29.0.0"})) == flaws
