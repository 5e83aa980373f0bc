"""The sandbox in large numbers and sizes: what is left, and what grows.

    python -m benchmarks.sandbox_stress [--quick] [--backend jail]

Writes benchmarks/results/sandbox-stress.json and a table of docs/benchmarks.md. Ends with status 1 when
something was left behind. The whole takes minutes; with --quick, which writes nothing, one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.processes import descendants
from benchmarks.sandbox import KINDS, PEAK, ROOT, new_sandbox, start_and_run, value
from benchmarks.sandbox_tables import write_stress_table
from palaestra.core.errors import SandboxError
from palaestra.sandbox.base import Sandbox

HOST = """
import asyncio, sys
from benchmarks.sandbox import new_sandbox

async def main():
    sandboxes = [new_sandbox(sys.argv[1]) for _ in range(3)]
    for sandbox in sandboxes:
        await sandbox.start()
    print("running", flush=True)
    await asyncio.gather(*[sandbox.run("while True: pass") for sandbox in sandboxes])

asyncio.run(main())
"""
FLOOD = """
host = next(cell.cell_contents for cell in echo.__closure__ if hasattr(cell.cell_contents, "_ask"))
for _ in range(100_000): host._send_call("echo", [1], b"x")
"""
RESULTS = Path(__file__).parent / "results" / "sandbox-stress.json"


def held() -> dict[str, float]:
    """What this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "processes": len(descendants()),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "folders": len(list(Path(tempfile.gettempdir()).glob("palaestra-*"))),
        "mounts": len(Path("/proc/self/mountinfo").read_text().splitlines()),
        "memory_mb": pages * os.sysconf("SC_PAGESIZE") / (1 << 20),
    }


async def watch(work: Callable[[str, int], Awaitable[object]], backend: str, sessions: int) -> dict[str, Any]:
    """Seconds that it takes, and what is held then beyond what was held before."""
    before, started = held(), time.perf_counter()
    await work(backend, sessions)
    seconds = time.perf_counter() - started
    await asyncio.sleep(1)
    after = held()
    grown = {key: after[key] - before[key] for key in before}
    return {"sessions": sessions, "seconds": seconds, "grown": grown}


async def concurrent(backend: str, sessions: int) -> None:
    """Opened, used and killed in the middle of a cell, all at once."""

    async def one(number: int) -> None:
        sandbox = new_sandbox(backend, memory_mb=512)
        await sandbox.start()
        assert await value(sandbox, f"mine = {number}; mine") == str(number)
        cell = asyncio.create_task(sandbox.run("while True: pass"))
        await asyncio.sleep(0.01)
        await sandbox.close()
        await asyncio.gather(cell, return_exceptions=True)

    await asyncio.gather(*map(one, range(sessions)))


async def sequence(backend: str, sessions: int) -> None:
    for _ in range(sessions):
        await start_and_run(backend)


async def measure_flood(backend: str) -> dict[str, float]:
    """How late the event loop comes to other work while a cell makes calls without end."""
    worst = 0.0
    async with asyncio.TaskGroup() as tasks:
        sandbox = new_sandbox(backend, calls=10_000)
        await sandbox.start()
        flood = tasks.create_task(_flooded(sandbox))
        while not flood.done():
            due = time.perf_counter() + 0.005
            await asyncio.sleep(0.005)
            worst = max(worst, time.perf_counter() - due)
    await sandbox.close()
    return {"worst_lag_ms": 1000 * worst}


async def _flooded(sandbox: Sandbox) -> None:
    with suppress(SandboxError):  # its session is ended when it goes on beyond its budget
        await sandbox.run(FLOOD)


def measure_killed_host(backend: str, times: int) -> dict[str, float]:
    return {"times": times, "worst_ms": 1000 * max(_seconds_after_kill(backend) for _ in range(times))}


def _seconds_after_kill(backend: str) -> float:
    """Until no process below it is left. Those of containers are not below it."""
    host = subprocess.Popen([sys.executable, "-c", HOST, backend], stdout=subprocess.PIPE, cwd=ROOT)
    assert host.stdout is not None
    with host.stdout:
        host.stdout.readline()
        time.sleep(0.2)
        processes = descendants(host.pid)
        started = time.perf_counter()
        host.kill()
        host.wait()
    while any(map(is_running, processes)):
        time.sleep(0.001)
    return time.perf_counter() - started


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def measure_giant(backend: str, gigabytes: float) -> dict[str, float]:
    """A file as the context: how long it takes, and the peaks of memory on both sides."""
    with tempfile.NamedTemporaryFile() as file:
        line = b"x" * 99 + b"\n"
        for _ in range(int(gigabytes * 1000)):
            file.write(line * 10_000)
        file.flush()
        size = os.path.getsize(file.name)
        sandbox = new_sandbox(backend, text_mb=1, memory_mb=max(512, 3 * size >> 20))
        await sandbox.start()
        base, before = int(await value(sandbox, PEAK)), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.perf_counter()
        await sandbox.put("context", Path(file.name))
        seconds = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        worker = int(await value(sandbox, PEAK)) - base
        started = time.perf_counter()
        assert await value(sandbox, "sum(1 for _ in context.finditer(r'x\\n'))") == str(size // 100)
        matching = time.perf_counter() - started
        await sandbox.close()
    return {
        "bytes": size,
        "matches": size // 100,
        "seconds": seconds,
        "worker_peak_ratio": worker * 1024 / size,
        "host_peak_mb": (after - before) / 1024,
        "seconds_for_a_match_per_line": matching,
    }


async def measure(backend: str, sessions: int, in_sequence: int, gigabytes: float) -> dict[str, Any]:
    await sequence(backend, 20)
    await concurrent(backend, 4)
    return {
        "backend": backend,
        "at once": await watch(concurrent, backend, sessions),
        "in sequence": await watch(sequence, backend, in_sequence),
        "flood": await measure_flood(backend),
        "giant": await measure_giant(backend, gigabytes),
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--backend", default="jail", choices=KINDS)
    options.add_argument("--quick", action="store_true", help="a tenth of everything, nothing written")
    chosen = options.parse_args()
    size = (20, 100, 0.1) if chosen.quick else (200, 10_000, 1.0)
    measured = asyncio.run(measure(chosen.backend, *size))
    measured["host killed"] = measure_killed_host(chosen.backend, times=3 if chosen.quick else 20)
    text = json.dumps(measured, indent=2) + "\n"
    print(text)
    if not chosen.quick:
        RESULTS.write_text(text, encoding="utf-8")
        write_stress_table(measured)
    grown = [measured[name]["grown"] for name in ("at once", "in sequence")]
    left = any(part[kind] > 0 for part in grown for kind in ("processes", "descriptors", "folders", "mounts"))
    sys.exit(left)


if __name__ == "__main__":
    main()
