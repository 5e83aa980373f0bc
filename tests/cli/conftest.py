"""Real processes: the console script, and a small verb of the tests' own."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
Serving = Callable[..., str]
Stats = Callable[..., dict[str, int]]

COUNTING = Path(__file__).with_name("counting.py")
SCRIPT = Path(sysconfig.get_path("scripts")) / "palaestra"


@pytest.fixture
def palaestra(tmp_path: Path) -> Run:
    """Run the console script in an empty folder."""

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        command = [str(SCRIPT), *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)

    return run


@pytest.fixture
def serving() -> Iterator[Serving]:
    """Serve a model in a process of its own, under the name `served`, and give its base URL."""
    servers: list[subprocess.Popen[str]] = []

    def serve(model: str, *settings: str, port: int = 0) -> str:
        words = ["serve", "--model", model, "--served-name", "served", "--port", str(port), *settings]
        servers.append(subprocess.Popen([str(SCRIPT), *words], stdout=subprocess.PIPE, text=True))
        stdout = servers[-1].stdout
        assert stdout is not None
        return stdout.readline().strip()

    yield serve
    for server in servers:
        server.kill()
        server.communicate()


@pytest.fixture
def stats() -> Stats:
    """What a served model has counted."""

    def ask(url: str, key: str = "none") -> dict[str, int]:
        headers = {"Authorization": f"Bearer {key}"}
        answer: dict[str, int] = httpx.get(url.removesuffix("/v1") + "/stats", headers=headers).json()
        return answer

    return ask


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
            stdout, stderr = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    return run
