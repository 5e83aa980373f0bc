"""The sandbox: what a session costs on each backend, beside what others run model-written code with.

    python -m benchmarks.sandbox [--quick] [--backends jail jail-landlock docker unsafe] [--no-peers]

Writes benchmarks/results/sandbox.json and the tables of docs/benchmarks.md. Starts are given as multiples of
`python -c pass`, which is measured in turn with them. Peers are installed from benchmarks/peers-sandbox.txt
into .venv-peers. A backend or peer that this machine does not give is named with the reason.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.processes import private_memory
from benchmarks.sandbox_probes import count_escapes, plant
from benchmarks.sandbox_tables import write_tables
from palaestra.core.errors import PalaestraError
from palaestra.sandbox.base import CellLimits, Sandbox
from palaestra.sandbox.docker.engine import connect
from palaestra.sandbox.jail.config import JailConfig
from palaestra.sandbox.registry import SandboxConfig, sandbox_factory
from tests.attacks.backends import jail_config

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "sandbox.json"
PINS = ROOT / "benchmarks" / "peers-sandbox.txt"
PEERS_FOLDER = ROOT / ".venv-peers"
PEERS = (
    "rlms LocalREPL",
    "rlms IPythonREPL, subprocess",
    "smolagents LocalPythonExecutor",
    "ipykernel, jupyter_client",
    "inspect_ai local",
)
ASCII, MIXED = "x" * 99 + "\n", "x" * 95 + "\N{PILE OF POO}\n"
"""Lines of 100 bytes. One astral character has Python keep a whole text in four bytes per character."""
LOOP = "total = 0\nfor i in range(3_000_000):\n    total += i * i\n"
IN_FLIGHT = """
host = next(cell.cell_contents for cell in slow.__closure__ if hasattr(cell.cell_contents, "_ask"))
answers = [host._ask("slow", [str(number)]) for number in range(1000)]
[answer.get().body.decode() for answer in answers] == [str(number) for number in range(1000)]
"""
PEAK = """
import re, resource
try:
    peak = re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]
except OSError:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
int(peak)
"""
"""KiB of memory that a worker held at most."""
COLD = """
import asyncio, sys
from benchmarks.sandbox import seconds_of_first_statement
print(asyncio.run(seconds_of_first_statement(sys.argv[1])))
"""
PINNED = """
import asyncio, os, sys
from benchmarks.sandbox import seconds_of_an_empty_cell
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
print(asyncio.run(seconds_of_an_empty_cell(sys.argv[1])))
"""
ECHO = "import socket; s = socket.socket(fileno=0)\nwhile data := s.recv(1): s.send(data)"
KINDS = ("jail", "jail-landlock", "docker", "unsafe")
"""What is measured: the backends, and `jail` with its second tier too."""


async def echo(texts: Sequence[str]) -> Sequence[str]:
    return texts


async def slow(texts: Sequence[str]) -> Sequence[str]:
    await asyncio.sleep(0.05)
    return texts


def new_sandbox(kind: str, **limits: float) -> Sandbox:
    """A session that is not started, whose budgets do not stand in the way of measuring."""
    config = SandboxConfig.model_validate(
        {
            "backend": kind.partition("-")[0],
            "jail": jail_config("landlock") if kind == "jail-landlock" else JailConfig(),
            "docker": {"runtime": "runsc" if kind == "docker-runsc" else "runc"},
            "limits": {"seconds": 600, "memory_mb": 8192, "calls": 10**7, **limits},
        }
    )
    return sandbox_factory(config)({"echo": echo, "slow": slow})


async def seconds_of(work: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    await work()
    return time.perf_counter() - started


async def median_of(repeats: int, work: Callable[[], Awaitable[object]]) -> float:
    return statistics.median([await seconds_of(work) for _ in range(repeats)])


async def value(sandbox: Sandbox, code: str) -> str:
    result = await sandbox.run(code)
    assert result.status == "ok", result
    return result.value


async def start_and_run(backend: str) -> None:
    sandbox = new_sandbox(backend)
    await sandbox.start()
    await value(sandbox, "1")
    await sandbox.close()


async def seconds_of_first_statement(backend: str) -> float:
    sandbox = new_sandbox(backend)

    async def first_statement() -> None:
        await sandbox.start()
        await value(sandbox, "1")

    seconds = await seconds_of(first_statement)
    await sandbox.close()
    return seconds


async def seconds_of_an_empty_cell(backend: str) -> float:
    sandbox = new_sandbox(backend)
    await sandbox.start()
    median = await median_of_empty_cells(sandbox)
    await sandbox.close()
    return median


async def median_of_empty_cells(sandbox: Sandbox) -> float:
    """Of ten times a hundred: between them the session rests, and the scheduler places it anew."""
    medians = []
    for _ in range(10):
        await asyncio.sleep(0.2)
        medians.append(await median_of(100, lambda: sandbox.run("")))
    return statistics.median(medians)


async def measure(backend: str, repeats: int, *, large: bool) -> dict[str, Any]:
    sandbox = new_sandbox(backend)
    await sandbox.start()
    measured = {
        **await measure_start(backend, repeats),
        **await measure_cells(sandbox, repeats),
        **measure_pinned(backend),
        **await measure_gvisor(backend, repeats),
        **await measure_kill(backend, repeats),
        **await measure_memory(backend),
        "texts": [
            await measure_text(backend, line, megabytes, repeats=max(1, repeats // 4))
            for megabytes in ((40, 400) if large else (40,))
            for line in (ASCII, MIXED)
        ],
    }
    await sandbox.close()
    return measured


async def measure_start(backend: str, repeats: int) -> dict[str, float]:
    """To the end of a first statement: `cold` in a process that has not started any session before.

    The close that follows is no part of it, nor are the host's own imports.
    """
    passes, warm, cold = [], [], []
    for _ in range(repeats):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        passes.append(time.perf_counter() - started)
        warm.append(await seconds_of_first_statement(backend))
        cold.append(_printed(COLD, backend))
    python = statistics.median(passes)
    return {
        "python_ms": 1000 * python,
        "warm_start_ms": 1000 * statistics.median(warm),
        "warm_start_ratio": statistics.median(warm) / python,
        "cold_start_ratio": statistics.median(cold) / python,
    }


async def measure_gvisor(backend: str, repeats: int) -> dict[str, float | None]:
    """A start under gVisor beside one under runc, in turn; None where the engine has none."""
    if backend != "docker" or "runsc" not in connect().info()["Runtimes"]:
        return {"gvisor_start_ratio": None}
    start = seconds_of_first_statement
    ratios = [await start("docker-runsc") / await start("docker") for _ in range(repeats)]
    return {"gvisor_start_ratio": statistics.median(ratios)}


def _printed(program: str, backend: str) -> float:
    """What a host process of its own prints."""
    command = [sys.executable, "-c", program, backend]
    return float(subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout)


async def measure_cells(sandbox: Sandbox, repeats: int) -> dict[str, float]:
    many = 1000
    round_trip = await seconds_of_a_round_trip(many)
    empty = await median_of_empty_cells(sandbox)
    calls = await median_of(repeats, lambda: value(sandbox, f"for _ in range({many}): echo('x')"))
    batched = await median_of(repeats, lambda: value(sandbox, "slow(['x'] * 1000)"))
    in_flight = await median_of(repeats, lambda: value(sandbox, IN_FLIGHT))
    await sandbox.put("context", ASCII * 400_000)
    loaded = await median_of_empty_cells(sandbox)
    loops, plain = [], []
    for _ in range(max(1, repeats // 4)):
        loops.append(await seconds_of(lambda: value(sandbox, LOOP)))
        timed = f"import time\nstart = time.perf_counter()\n{LOOP}print(time.perf_counter() - start)"
        done = subprocess.run([sys.executable, "-c", timed], capture_output=True, text=True, check=True)
        plain.append(float(done.stdout))
    return {
        "round_trip_us": 1e6 * round_trip,
        "empty_cell_us": 1e6 * empty,
        "empty_cell_with_40_mb_us": 1e6 * loaded,
        "calls_per_second": many / calls,
        "batched_calls_ratio": batched / 0.05,
        "calls_in_flight_ratio": in_flight / 0.05,
        "loop_ratio": statistics.median(loops) / statistics.median(plain),
    }


def measure_pinned(backend: str) -> dict[str, float | None]:
    """An empty cell where no processor is woken; None where the session's cannot be chosen from here."""
    return {"empty_cell_pinned_us": None if backend == "docker" else 1e6 * _printed(PINNED, backend)}


async def seconds_of_a_round_trip(repeats: int) -> float:
    """Of a byte to a plain Python process and back: what no cell in a process of its own can undercut."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with subprocess.Popen([sys.executable, "-c", ECHO], stdin=theirs.fileno()), ours:
        theirs.close()

        async def there_and_back() -> None:
            await loop.sock_sendall(ours, b"x")
            await loop.sock_recv(ours, 1)

        await there_and_back()
        return await median_of(repeats, there_and_back)


async def measure_kill(backend: str, repeats: int) -> dict[str, float]:
    """From the decision to kill a cell that ignores every signal until nothing of it is left."""
    code = "import signal\nfor n in range(1, 32):\n    try: signal.signal(n, signal.SIG_IGN)\n"
    code += "    except (OSError, ValueError): pass\nwhile True: pass"
    seconds = []
    for _ in range(repeats):
        sandbox = new_sandbox(backend)
        await sandbox.start()
        cell = asyncio.create_task(sandbox.run(code))
        await asyncio.sleep(0.05)
        seconds.append(await seconds_of(sandbox.close))
        await asyncio.gather(cell, return_exceptions=True)
    return {"kill_ms": 1000 * statistics.median(seconds)}


async def measure_memory(backend: str, sessions: int = 10) -> dict[str, float | None]:
    """Private memory per idle session; None where its processes are not the host's own children."""
    before = private_memory()
    opened = [new_sandbox(backend) for _ in range(sessions)]
    for sandbox in opened:
        await sandbox.start()
        await value(sandbox, "1")
    grown = private_memory() - before
    for sandbox in opened:
        await sandbox.close()
    return {"idle_mb": grown / sessions / (1 << 20) if grown > 0 else None}


async def measure_text(backend: str, line: str, megabytes: int, repeats: int) -> dict[str, Any]:
    """A text into a variable: as a string, and as a view where it is long; the worker's peak besides."""
    text = line * (megabytes * 10_000)
    data = text.encode()
    measured: dict[str, Any] = {"megabytes": megabytes, "mixed": line is MIXED}
    for kind, text_mb in (("string", 1024), ("view", 1)):
        seconds, decoding, peaks = [], [], []
        for _ in range(repeats):
            started = time.perf_counter()
            data.decode()
            decoding.append(time.perf_counter() - started)
            sandbox = new_sandbox(backend, text_mb=text_mb)
            await sandbox.start()
            base = await value(sandbox, PEAK)
            seconds.append(await seconds_of(lambda sandbox=sandbox: sandbox.put("context", text)))  # type: ignore[misc]
            assert await value(sandbox, "len(context)") == str(len(text))
            peak = await value(sandbox, PEAK)
            peaks.append((int(peak) - int(base)) / 1024)
            await sandbox.close()
        measured |= {
            f"{kind}_ms": 1000 * statistics.median(seconds),
            f"{kind}_peak_ratio": statistics.median(peaks) * (1 << 20) / len(data),
            "decoding_ms": 1000 * statistics.median(decoding),
        }
    return measured


def probe(backend: str) -> dict[str, bool]:
    with asyncio.Runner() as runner:
        sandbox = new_sandbox(backend)
        runner.run(sandbox.start())

        def run(code: str) -> str:
            result = runner.run(sandbox.run(code))
            return result.stdout + result.error

        found = count_escapes(run)
        runner.run(sandbox.close())
    return found


def measure_peers(repeats: int) -> dict[str, Any]:
    if not PEERS_FOLDER.exists():
        venv.create(PEERS_FOLDER, with_pip=True)
        subprocess.run([PEERS_FOLDER / "bin" / "pip", "install", "--quiet", "-r", PINS], check=True)
    measured = {}
    for peer in PEERS:
        command = [str(PEERS_FOLDER / "bin" / "python"), "-m", "benchmarks.sandbox_peers", peer, str(repeats)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        skipped = {"skipped": (done.stderr.strip().splitlines() or ["it gives no reason"])[-1]}
        measured[peer] = skipped if done.returncode else json.loads(done.stdout)
    return measured


def measure_backends(backends: Sequence[str], repeats: int, *, large: bool) -> dict[str, Any]:
    measured: dict[str, Any] = {}
    for backend in backends:
        try:
            asyncio.run(start_and_run(backend))
        except PalaestraError as error:
            measured[backend] = {"skipped": str(error)}
        else:
            measured[backend] = asyncio.run(measure(backend, repeats, large=large))
            measured[backend]["escapes"] = probe(backend)
    return measured


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--quick", action="store_true", help="few repeats, no 400 MB texts, nothing written")
    options.add_argument("--backends", nargs="+", default=KINDS, choices=KINDS)
    options.add_argument("--no-peers", action="store_true")
    chosen = options.parse_args()
    repeats = 2 if chosen.quick else 20
    plant()
    measured = {
        "machine": {
            "cpu_count": os.cpu_count(),
            "platform": platform.platform(),
            "python": platform.python_version(),
        },
        "limits": CellLimits().model_dump(),
        "backends": measure_backends(chosen.backends, repeats, large=not chosen.quick),
        "peers": {} if chosen.no_peers else measure_peers(min(repeats, 5)),
    }
    if chosen.quick:
        print(json.dumps(measured, indent=2))
        return
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    write_tables(measured)


if __name__ == "__main__":
    main()
