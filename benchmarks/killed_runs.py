"""Runs that are killed and begun again, and what a long run leaves on disk.

Shared by tests/agents/test_resume.py and `python -m benchmarks.recursion --only kills checkpoints`.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import random
import socket
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, NamedTuple

import uvicorn

from palaestra.agents.base import AgentContext
from palaestra.agents.registry import AgentConfig
from palaestra.agents.rlm import RLMAgent, RLMConfig
from palaestra.agents.runner import RunConfig, run
from palaestra.core.budget import Budget, Meter
from palaestra.core.chat import Message, Sampling
from palaestra.core.config import VerbConfig
from palaestra.core.events import CallMade, TrajectoryFinished
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.models.config import ModelConfig
from palaestra.models.scripted import ScriptedModel
from palaestra.models.server import ModelServer
from palaestra.sandbox.registry import SandboxConfig, sandbox_factory
from palaestra.store.journal import RunJournal
from palaestra.store.run_store import RunStore

LATENCY = 0.3
"""Seconds of a call: so long that most of a run is waiting for some."""
PATIENCE = 60.0
"""Seconds after which a run that should end has failed."""
TURNS = (50, 100, 200)
LINES = 40
"""Words of the context."""
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["benchmarks.killed_runs", "palaestra.models.litellm_model"])


def cell(code: str) -> str:
    return f"```repl\n{code}\n```"


ROOT = [
    cell(
        "import os\nstamp = os.urandom(8).hex()\ndef double(n): return 2 * n\n"
        "found = llm_query_batched([f'line {n}: 1' for n in range(6)])\nhandle = open('x', 'w')\nprint(stamp)"
    ),
    cell("children = rlm_query_batched([f'child {n}' for n in range(4)], ['2'] * 4)\nfound += children"),
    cell("again = llm_query('line 0: 1')"),
    cell("FINAL(f'{stamp} {double(sum(map(int, found)))} {again}')"),
]
CHILD = [
    cell("asked = llm_query_batched([f'line {context}: 2', 'line: 2'])"),
    cell("FINAL(sum(map(int, asked)))"),
]
TREE_CALLS = 6 + 4 + 1 + 4 * (2 + 2)


def tree(messages: Sequence[Message], sampling: Sampling) -> str:
    """A root that asks sub-models and children over four turns, the children, and the sub-models."""
    if messages[0].role != "system":
        return messages[-1].content.partition(": ")[2]
    turn = sum(message.role == "assistant" for message in messages)
    return (CHILD if "child" in messages[1].content else ROOT)[turn]


def is_right(trajectory: Trajectory) -> bool:
    """Whether the root of `tree` ended with its very first variables and the right sum."""
    stamp = trajectory.steps[0].observation.split()[0]
    return trajectory.answer == f"{stamp} {2 * (6 * 1 + 4 * 4)} 1"


def new_run(folder: Path, agent: AgentConfig, address: str) -> RunStore:
    """A run of one question about a text, whose model is served at that address."""
    folder.mkdir(exist_ok=True)
    (folder / "context.txt").write_text("one " * LINES)
    config = RunConfig(
        agent=agent,
        model=ModelConfig(name="openai/test", api_base=f"{address}/v1"),
        ask="How many?",
        context=(str(folder / "context.txt"),),
        budget=Budget(depth=2),
    )
    return RunStore.create(folder / "runs", "run", config)


def go_on(store: RunStore, patience: float) -> float | None:
    """Work on a run in a process of its own. The seconds that it took; None when `patience` was over before
    that and the process was killed."""
    begins = PROCESSES.Event()
    process = PROCESSES.Process(target=_work_on, args=(store.folder, begins))
    process.start()
    begins.wait()
    began = time.perf_counter()
    process.join(patience)
    if process.is_alive():
        process.kill()
        process.join()
        return None
    assert process.exitcode == 0
    return time.perf_counter() - began


def _work_on(folder: Path, begins: Event) -> None:
    store = RunStore.open(folder)
    begins.set()
    finished = asyncio.run(run(store.config(RunConfig), store, store.write))
    sys.exit(finished.status != "done")


def counts(address: str) -> dict[str, Any]:
    """What the endpoint has counted."""
    with urllib.request.urlopen(f"{address}/stats") as response:
        return dict(json.load(response))


class Resumed(NamedTuple):
    """What became of a run that was killed."""

    seconds: float | None
    """Of a run that ended before it could be killed."""
    right: bool
    repeated: int
    """Calls that were asked twice."""
    in_flight: int
    """Requests that had reached the endpoint at the kill, and whose answers the run did not have."""


def measure_kills(kills: int) -> dict[str, Any]:
    """Runs of `tree`, each killed once at a random point between its start and its end, and resumed."""
    longest = kill_and_resume(PATIENCE).seconds
    assert longest is not None
    draw = random.Random(0)
    runs: list[Resumed] = []
    while len(runs) < kills:
        run = kill_and_resume(draw.uniform(0.0, longest))
        if run.seconds is None:
            runs.append(run)
    return {
        "kills": kills,
        "calls": TREE_CALLS,
        "right": sum(run.right for run in runs),
        "repeated": [run.repeated for run in runs],
        "in_flight": [run.in_flight for run in runs],
    }


def kill_and_resume(after: float) -> Resumed:
    server = ModelServer(ScriptedModel("test", tree), latency=LATENCY)
    with tempfile.TemporaryDirectory() as folder, _serving(server) as address:
        store = new_run(Path(folder), RLMConfig(), address)
        seconds = go_on(store, after)
        in_flight = counts(address)["requests"] - sum(not call.cached for call in store.events(CallMade))
        assert seconds or go_on(store, PATIENCE)
        (finished,) = store.events(TrajectoryFinished)
        repeated = counts(address)["requests"] - TREE_CALLS
        store.close()
        return Resumed(seconds, is_right(finished.trajectory), repeated, in_flight)


def bytes_after(turns: int, folder: Path) -> int:
    """What is on disk after a run of the recursive language model in which every turn shows 20 kB."""
    store = RunStore.create(folder, "run", VerbConfig())
    talk = ScriptedModel("scripted/talk", lambda messages, sampling: cell("print('word ' * 4000)"))
    context = AgentContext(
        trajectory_id="t#0",
        models=[talk],
        sandbox=sandbox_factory(SandboxConfig()),
        meter=Meter(Budget(turns=turns)),
        sampling=Sampling(),
        emit=store.write,
        journal=RunJournal(store).of("t#0"),
    )
    asyncio.run(RLMAgent(RLMConfig()).run(Task(id="t", prompt="?"), context))
    store.close()
    return sum(file.stat().st_size for file in store.folder.rglob("*") if file.is_file())


def measure_checkpoints() -> dict[str, int]:
    """Bytes by turns."""
    with tempfile.TemporaryDirectory() as folder:
        return {str(turns): bytes_after(turns, Path(folder)) for turns in TURNS}


@contextmanager
def _serving(model: ModelServer) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(model.app(), log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()
