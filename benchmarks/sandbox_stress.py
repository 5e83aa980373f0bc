"""The sandbox in large numbers and sizes: what is left, and what grows.

    python -m benchmarks.sandbox_stress [--backend jail] [--concurrent 200] [--sequence 10000] [--gigabytes 1]

Prints JSON, and writes it to benchmarks/results/sandbox-stress.json. Ends with status 1 when something was
left behind. The whole takes minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmarks.sandbox import PEAK, descendants, new_sandbox, start_and_run, value

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


async def watch(work: Callable[[], Awaitable[object]]) -> dict[str, Any]:
    """Seconds that it takes, and what is held then beyond what was held before."""
    before, started = held(), time.perf_counter()
    await work()
    seconds = time.perf_counter() - started
    await asyncio.sleep(1)
    after = held()
    return {"seconds": seconds, "grown": {key: after[key] - before[key] for key in before}}


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


async def measure_giant(backend: str, gigabytes: float) -> dict[str, float]:
    """A file as the context: how long it takes, and the peaks of memory on both sides."""
    with tempfile.NamedTemporaryFile() as file:
        line = b"x" * 99 + b"\n"
        for _ in range(int(gigabytes * 1000)):
            file.write(line * 10_000)
        file.flush()
        size = os.path.getsize(file.name)
        sandbox = new_sandbox(backend, text_mb=256, memory_mb=3 * size >> 20)
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
        f"{sessions} at once": await watch(lambda: concurrent(backend, sessions)),
        f"{in_sequence} in sequence": await watch(lambda: sequence(backend, in_sequence)),
        "giant": await measure_giant(backend, gigabytes),
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--backend", default="jail")
    options.add_argument("--concurrent", type=int, default=200)
    options.add_argument("--sequence", type=int, default=10_000)
    options.add_argument("--gigabytes", type=float, default=1.0)
    chosen = options.parse_args()
    measured = asyncio.run(measure(chosen.backend, chosen.concurrent, chosen.sequence, chosen.gigabytes))
    text = json.dumps(measured, indent=2) + "\n"
    print(text)
    RESULTS.write_text(text, encoding="utf-8")
    grown = [part["grown"] for part in measured.values() if "grown" in part]
    left = any(part[kind] > 0 for part in grown for kind in ("processes", "descriptors", "folders", "mounts"))
    sys.exit(left)


if __name__ == "__main__":
    main()
