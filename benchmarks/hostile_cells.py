"""Cells that would end an executor that does not bound them, in a run of the recursive language model.

Shared by tests/agents/test_rlm.py and `python -m benchmarks.recursion --only cells`. They run in the backend
`jail` and nowhere else.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from palaestra.agents.base import AgentContext
from palaestra.agents.rlm import RLMAgent, RLMConfig
from palaestra.core.budget import Budget, Meter
from palaestra.core.chat import Message, Sampling
from palaestra.core.config import VerbConfig
from palaestra.core.task import Task
from palaestra.models.scripted import ScriptedModel
from palaestra.sandbox.base import CellLimits
from palaestra.sandbox.registry import SandboxConfig, sandbox_factory
from palaestra.store.journal import RunJournal
from palaestra.store.run_store import RunStore

LIMITS = CellLimits(seconds=3, memory_mb=1024)
CELLS: Mapping[str, str] = {
    "`while True: pass`": "while True: pass",
    "`sys.exit()`": "import sys; sys.exit()",
    "`os._exit(1)`": "import os; os._exit(1)",
    "10 GB of memory": "x = bytearray(10 << 30)",
    "a text of 1 TB": "x = 'y' * (1 << 40)",
    "1 GB of output": "for _ in range(1 << 10): print('x' * (1 << 20))",
    "a fork bomb": "import os\nwhile True: os.fork()",
    "`SIGSTOP` to itself": "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
}


def measure_cells() -> list[dict[str, str | float]]:
    with tempfile.TemporaryDirectory() as folder:
        store = RunStore.create(Path(folder), "run", VerbConfig())
        return [measure_cell(name, code, store) for name, code in CELLS.items()]


def measure_cell(name: str, code: str, store: RunStore) -> dict[str, str | float]:
    """A run in which the second of four turns has that cell, and the third asks what is left."""
    turns = ["kept = 1", code, "print('kept' in globals())", "FINAL('done')"]

    def speak(messages: Sequence[Message], sampling: Sampling) -> str:
        turn = sum(message.role == "assistant" for message in messages)
        return f"```repl\n{turns[turn]}\n```"

    context = AgentContext(
        trajectory_id=name,
        models=[ScriptedModel("scripted/hostile", speak)],
        sandbox=sandbox_factory(SandboxConfig(backend="jail", limits=LIMITS)),
        meter=Meter(Budget()),
        sampling=Sampling(),
        emit=store.write,
        journal=RunJournal(store).of(name),
    )
    done = asyncio.run(RLMAgent(RLMConfig()).run(Task(id="t", prompt="?"), context))
    _, hostile, after, _ = done.steps
    told = hostile.observation.partition("\n[variables]")[0].splitlines()
    return {
        "cell": name,
        "seconds": hostile.seconds,
        "told": told[-1].removeprefix("[error] "),
        "same_process": "started again" not in hostile.observation,
        "variables_kept": after.observation.startswith("True"),
        "run": done.status,
    }
