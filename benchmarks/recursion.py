"""The recursive language model beside rlms and dspy, under kills and hostile cells, and with large contexts.

    python -m benchmarks.recursion [--only PART ...]

Writes benchmarks/results/recursion.json and the tables of docs/benchmarks.md; with --only it measures some
parts anew and keeps the others. In `one`, `batch` and `children` all speak to one endpoint on this machine,
which answers each call after 50 ms (0 ms in `one`) and counts. The peers run in an environment of their own,
`.venv-peers-agents`, made at the first time. The whole takes about seven minutes on two free cores.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.hostile_cells import measure_cells
from benchmarks.killed_runs import measure_checkpoints, measure_kills
from benchmarks.recursion_clients import CLIENTS, PARALLEL
from benchmarks.recursion_tables import write_recursion_tables
from benchmarks.rlm_peers import measure
from benchmarks.stub_endpoint import reply
from palaestra.agents.base import AgentContext
from palaestra.agents.rlm import RLMAgent, RLMConfig
from palaestra.core.budget import Budget, Meter
from palaestra.core.chat import Completion, Message, Sampling
from palaestra.core.events import discard
from palaestra.core.task import Task
from palaestra.core.usage import Usage, total
from palaestra.models.base import Model
from palaestra.models.config import ModelConfig
from palaestra.models.registry import load_model
from palaestra.sandbox.registry import SandboxConfig, sandbox_factory

RESULTS = Path(__file__).parent / "results" / "recursion.json"
ROOT = Path(__file__).parents[1]
PEERS = ROOT / ".venv-peers-agents"
LATENCY = 0.05
KILLS = 20
TOKENS = (1_000_000, 4_000_000, 10_000_000)
SYSTEMS: Mapping[str, Sequence[str]] = {
    "ONE": ("palaestra", "dspy", "rlms"),
    "BATCH": ("in-process", "palaestra", "dspy", "rlms", *CLIENTS),
    "CHILDREN": ("palaestra", "rlms", "rlms-alone", "rlms-kernels"),
}
"""Who does each job."""


def main() -> None:
    parts: dict[str, Callable[[], Any]] = {
        **{job.lower(): functools.partial(measure_job, job) for job in SYSTEMS},
        "contexts": lambda: [_read_large(tokens) for tokens in TOKENS],
        "kills": lambda: measure_kills(KILLS),
        "checkpoints": measure_checkpoints,
        "cells": measure_cells,
    }
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--only", nargs="+", choices=parts, default=list(parts), help="measure these again")
    chosen = options.parse_args()
    machine = {
        "cpu_count": os.cpu_count(),
        "platform": platform.platform(),
        "python": platform.python_version(),
    }
    known = json.loads(RESULTS.read_text(encoding="utf-8")) if len(chosen.only) < len(parts) else {}
    measured = known | {"machine": machine} | {part: parts[part]() for part in chosen.only}
    RESULTS.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    write_recursion_tables(measured)


def measure_job(job: str) -> dict[str, Any]:
    """What each system takes for it, in the form of `rlm_peers.measure`."""
    return {system: _measure_system(system, job) for system in SYSTEMS[job]}


def _measure_system(system: str, job: str) -> dict[str, Any]:
    with _stub(0.0 if job == "ONE" else LATENCY) as address:
        if system == "palaestra":
            return measure(lambda job: asyncio.run(_ask_over_http(job, address)), job, address)
        if system == "in-process":
            return measure(lambda job: asyncio.run(_ask(job, InProcess())), job, address)
        if system in CLIENTS:
            return measure(lambda _: (" ".join(asyncio.run(CLIENTS[system](address))), 0), job, address)
        return _measure_peer(system, job, address)


class InProcess:
    """The stub without HTTP: what is left is Palaestra's own work."""

    name = "stub"
    context_window: int | None = None

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        await asyncio.sleep(LATENCY)
        text = reply([(message.role, message.content) for message in messages])
        return Completion(text=text, finish_reason="stop", usage=Usage(calls=1))

    async def close(self) -> None:
        pass


async def _ask_over_http(job: str, address: str) -> tuple[str, int]:
    model = load_model(ModelConfig(name="openai/stub", api_base=f"{address}/v1", concurrency=PARALLEL))
    try:
        return await _ask(job, model)
    finally:
        await model.close()


async def _ask(job: str, model: Model) -> tuple[str, int]:
    """The answer, and the calls that the trajectory tells of."""
    context = AgentContext(
        trajectory_id="t#0",
        models=[model],
        sandbox=sandbox_factory(SandboxConfig()),
        meter=Meter(Budget(depth=2)),
        sampling=Sampling(),
        emit=discard,
    )
    task = Task(id="t", prompt=f"JOB {job}", context="text")
    done = await RLMAgent(RLMConfig(parallel=PARALLEL)).run(task, context)
    return done.answer, total(done.usage.values()).calls


def _measure_peer(peer: str, job: str, address: str) -> dict[str, Any]:
    python = PEERS / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", PEERS], check=True)
        needed = Path(__file__).with_name("peers-agents.txt")
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", needed], check=True)
    script = Path(__file__).with_name("rlm_peers.py")
    with tempfile.TemporaryDirectory() as folder:
        command: list[str | Path] = [python, script, peer, job, address]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder)
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def _read_large(tokens: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.large_contexts", str(tokens)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return dict(json.loads(done.stdout))


@contextmanager
def _stub(latency: float) -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.stub_endpoint", "--latency", str(latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


if __name__ == "__main__":
    main()
