"""The recursive language model beside rlms and dspy: overhead, sub-calls, children, large contexts.

    python -m benchmarks.recursion [--without-peers]

Writes benchmarks/results/recursion.json and the tables of docs/benchmarks.md. All of them speak to one
endpoint on this machine, which answers each call after 50 ms (0 ms for the overhead of a run) and counts. The
peers run in an environment of their own, `.venv-peers-agents`, made at the first time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.stub_endpoint import reply
from benchmarks.tables import replace_section, table
from palaestra.agents.base import AgentContext
from palaestra.agents.rlm import RLMAgent, RLMConfig
from palaestra.core.budget import Budget, Meter
from palaestra.core.chat import Completion, Message, Sampling
from palaestra.core.events import discard
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.usage import Usage, total
from palaestra.datasets.documents import keep
from palaestra.models.base import Model
from palaestra.models.config import ModelConfig
from palaestra.models.registry import load_model
from palaestra.models.scripted import ScriptedModel
from palaestra.sandbox.registry import SandboxConfig, sandbox_factory

RESULTS = Path(__file__).parent / "results" / "recursion.json"
ROOT = Path(__file__).parents[1]
PEERS = ROOT / ".venv-peers-agents"
LATENCY = 0.05
SUB_CALLS, PARALLEL, CHILDREN = 256, 64, 64
REPEATS = 7
TOKENS = (1_000_000, 4_000_000, 10_000_000)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--without-peers", action="store_true")
    options.add_argument("--context", type=int, help=argparse.SUPPRESS)  # one measurement in its own process
    chosen = options.parse_args()
    if chosen.context:
        print(json.dumps(asyncio.run(read_large(chosen.context))))
        return
    measured = {
        "machine": {"cpu_count": os.cpu_count(), "platform": platform.platform()},
        "palaestra": measure(),
        "in_process_seconds": measure_in_process(),
        "contexts": [_in_a_process(tokens) for tokens in TOKENS],
    }
    if not chosen.without_peers:
        measured |= {peer: measure_peer(peer) for peer in ("rlms", "dspy")}
    RESULTS.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    replace_section("rlm", _sections(measured))


def measure() -> dict[str, Any]:
    """Palaestra with its default sandbox, in the same form as `rlm_peers` prints."""
    measured = {}
    for name, job, latency in _JOBS:
        with _stub(latency) as address:
            asyncio.run(_ask("ONE", address))
            before = _stats(address)["calls"]
            repeats = REPEATS if name == "one" else 1
            times, done = [], None
            for _ in range(repeats):
                began = time.perf_counter()
                done = asyncio.run(_ask(job, address))
                times.append(time.perf_counter() - began)
            assert done is not None
            measured[name] = {
                "seconds": statistics.median(times),
                "answer": done.answer,
                "calls_told": total(done.usage.values()).calls,
                "calls_counted": (_stats(address)["calls"] - before) / repeats,
            }
    return measured


_JOBS = (("one", "ONE", 0.0), ("batch", "BATCH", LATENCY), ("children", "CHILDREN", LATENCY))


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


def measure_in_process() -> float:
    """Seconds of the batch of sub-calls without LiteLLM and HTTP."""
    task = Task(id="t", prompt="JOB BATCH", context="text")
    agent = RLMAgent(RLMConfig(parallel=PARALLEL))
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        asyncio.run(agent.run(task, _context([InProcess()])))
        times.append(time.perf_counter() - began)
    return statistics.median(times)


async def _ask(job: str, address: str) -> Trajectory:
    config = ModelConfig(name="openai/stub", api_base=f"{address}/v1", concurrency=PARALLEL)
    model = load_model(config)
    task = Task(id="t", prompt=f"JOB {job}", context="text")
    try:
        return await RLMAgent(RLMConfig(parallel=PARALLEL)).run(task, _context([model]))
    finally:
        await model.close()


def _context(models: Sequence[Model]) -> AgentContext:
    return AgentContext(
        trajectory_id="t#0",
        models=models,
        sandbox=sandbox_factory(SandboxConfig()),
        meter=Meter(Budget(depth=2)),
        sampling=Sampling(),
        emit=discard,
    )


def measure_peer(peer: str) -> dict[str, Any]:
    python = PEERS / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", PEERS], check=True)
        needed = Path(__file__).with_name("peers-agents.txt")
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", needed], check=True)
    measured: dict[str, Any] = {}
    for latency in (0.0, LATENCY):
        with _stub(latency) as address, tempfile.TemporaryDirectory() as folder:
            command: list[str | Path] = [python, Path(__file__).with_name("rlm_peers.py"), peer, address]
            done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder)
            told = json.loads(done.stdout.strip().splitlines()[-1])
        measured |= {name: told[name] for name in told if (name == "one") == (latency == 0)}
    return measured


async def read_large(tokens: int) -> dict[str, float]:
    """Count words in a context of four characters a token; the memory that it takes on the host."""
    words = 4 * tokens // 8
    with tempfile.TemporaryDirectory() as folder:
        context = keep("archon. " * words, Path(folder))
        base = _peak_bytes()
        model = ScriptedModel(
            "scripted/count",
            lambda messages, sampling: "```repl\nFINAL(sum(line.count('archon') for line in [context]))\n```",
        )
        task = Task(id="t", prompt="How many?", context=context)
        began = time.perf_counter()
        done = await RLMAgent(RLMConfig()).run(task, _context([model]))
        assert done.answer == str(words), done
        return {
            "tokens": tokens,
            "megabytes": 8 * words / 1e6,
            "seconds": time.perf_counter() - began,
            "peak_megabytes": _peak_bytes() / 1e6,
            "base_megabytes": base / 1e6,
        }


def _peak_bytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _in_a_process(tokens: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.recursion", "--context", str(tokens)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return dict(json.loads(done.stdout))


@contextmanager
def _stub(latency: float) -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.stub_endpoint", "--latency", str(latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


def _stats(address: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{address}/stats") as response:
        return dict(json.load(response))


def _sections(measured: dict[str, Any]) -> Iterator[str]:
    systems = [name for name in ("palaestra", "rlms", "dspy") if name in measured]
    ideal = SUB_CALLS / PARALLEL * LATENCY + LATENCY
    yield table(
        ("what", *systems),
        [
            ("a run of one turn, 0 ms a call", *_each(measured, systems, "one", _seconds)),
            (
                f"{SUB_CALLS} batched sub-calls (ideal {ideal:.2f} s)",
                *_each(measured, systems, "batch", _seconds),
            ),
            (
                f"{SUB_CALLS} batched sub-calls of a model in the same process, without HTTP",
                f"{measured['in_process_seconds']:.2f} s",
                *["" for _ in systems[1:]],
            ),
            (f"{CHILDREN} recursive children of two turns", *_each(measured, systems, "children", _seconds)),
            ("children whose output was their own and whole", *_each(measured, systems, "children", _right)),
            (
                "calls that the run tells / the endpoint counted",
                *_each(measured, systems, "children", _calls),
            ),
        ],
    )
    yield table(
        ("context, tokens", "megabytes", "seconds", "peak memory of the host, MB", "goal, MB"),
        [
            (
                f"{row['tokens']:,}",
                f"{row['megabytes']:.0f}",
                f"{row['seconds']:.2f}",
                f"{row['peak_megabytes']:.0f}",
                f"{1.5 * row['megabytes'] + 300:.0f}",
            )
            for row in measured["contexts"]
        ],
    )


def _each(measured: dict[str, Any], systems: Sequence[str], job: str, show: Any) -> list[str]:
    return [show(measured[system][job]) if job in measured[system] else "none" for system in systems]


def _seconds(row: dict[str, Any]) -> str:
    return f"{row['seconds']:.2f} s"


def _right(row: dict[str, Any]) -> str:
    right = sum(answer == str(number) for number, answer in enumerate(row["answer"].split()))
    return f"{right} of {CHILDREN}"


def _calls(row: dict[str, Any]) -> str:
    return f"{row['calls_told']:.0f} / {row['calls_counted']:.0f}"


if __name__ == "__main__":
    main()
