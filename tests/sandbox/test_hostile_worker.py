"""Cells that speak to the host past the worker, on the channel itself."""

import asyncio
import os
import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from palaestra.core.errors import SandboxError
from palaestra.sandbox.base import CellLimits
from palaestra.sandbox.operation import CALLS_UNDER_WAY
from palaestra.sandbox.worker.wire import Kind
from palaestra.sandbox.worker_sandbox import WorkerSandbox

InSandbox = Callable[..., None]

PRELUDE = """
import os, sys, time
frame = sys._getframe()
while frame.f_code.co_name != "serve":
    frame = frame.f_back
cell, channel, host = (frame.f_locals[name] for name in ("cell", "descriptor", "host"))
"""


def frame(kind: int, header: str, body: bytes = b"", body_length: int | None = None) -> bytes:
    encoded = header.encode()
    length = len(body) if body_length is None else body_length
    return struct.pack("!BBHIQ", kind, 1, 0, len(encoded), length) + encoded + body


def done(cell: str, more: str = "") -> str:
    return f'{{"cell": "{cell}", "status": "ok", "truncated": false, "variables": []{more}}}'


def call(number: str, lengths: str) -> str:
    return f'{{"cell": "{OWN}", "call": {number}, "function": "slow", "lengths": {lengths}}}'


OWN = "0" * 32
"""Replaced by the name of the running cell."""

ATTACKS = {
    "garbage": b"\xff" * 64,
    "an unknown type": frame(99, "{}"),
    "a type of the host's": frame(Kind.EXEC, f'{{"cell": "{OWN}"}}', b"1"),
    "a body of 2^63 bytes": frame(Kind.DONE, done(OWN), body_length=1 << 63),
    "a header of nested brackets": frame(Kind.DONE, "[" * 60_000),
    "a header that is no object": frame(Kind.DONE, "[1]"),
    "an extra field": frame(Kind.DONE, done(OWN, ', "pickle": "gASV"')),
    "a wrong type": frame(Kind.CALL, call('"0"', "[]")),
    "a negative length": frame(Kind.CALL, call("0", "[-1]")),
    "lengths of another body": frame(Kind.CALL, call("0", "[5]"), b"four"),
    "another cell": frame(Kind.DONE, done("1" * 32)),
    "ready again": frame(Kind.READY, "{}"),
    "data that nobody asked for": frame(Kind.DATA, f'{{"cell": "{OWN}"}}', b"x"),
    "a call with very many texts": frame(Kind.CALL, call("0", str([0] * 1001))),
    "a status that no cell has": frame(Kind.DONE, done(OWN).replace("ok", "missing")),
}


LIMITS = CellLimits(seconds=10)


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_no_worker_sends_ends_the_session_and_nothing_else(in_sandbox: InSandbox, attack: str) -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        sending = f"os.write(channel, {ATTACKS[attack]!r}.replace({OWN.encode()!r}, cell.encode()))"
        with pytest.raises(SandboxError, match="its session was ended"):
            await sandbox.run(f"{PRELUDE}\n{sending}\ntime.sleep(9)")
        with pytest.raises(SandboxError, match="not running"):
            await sandbox.run("1")
        await sandbox.start()
        assert (await sandbox.run("1 + 1")).value == "2"

    in_sandbox(test, LIMITS)


def test_a_forged_end_is_a_claim_about_its_own_cell_and_the_real_one_then_ends_the_session(
    in_sandbox: InSandbox,
) -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        forged = frame(Kind.DONE, done(OWN), b"forged")
        sending = f"os.write(channel, {forged!r}.replace({OWN.encode()!r}, cell.encode()))"
        assert (await sandbox.run(f"{PRELUDE}\n{sending}\ntime.sleep(0.2)")).value == "forged"
        with pytest.raises(SandboxError, match="belongs to no running cell"):
            await sandbox.run("1")

    in_sandbox(test, LIMITS)


def test_a_flood_of_calls_waits_in_the_socket_and_unoffered_functions_are_refused(
    in_sandbox: InSandbox,
) -> None:
    most = under_way = 0

    async def slow(texts: Sequence[str]) -> Sequence[str]:
        nonlocal most, under_way
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        return texts

    async def test(sandbox: WorkerSandbox) -> None:
        flood = frame(Kind.CALL, call("7", "[1]"), b"x")
        sending = f"data = {flood!r}.replace({OWN.encode()!r}, cell.encode())"
        code = f"{PRELUDE}\n{sending}\nfor _ in range(3_000): os.write(channel, data)"
        assert (await sandbox.run(code)).status == "ok"
        assert most <= CALLS_UNDER_WAY
        refused = await sandbox.run(f"{PRELUDE}\nhost.call('nope', ['x'])")
        assert "no function 'nope'" in refused.error

    in_sandbox(test, LIMITS, {"slow": slow})


def test_a_worker_that_calls_and_never_reads_cannot_hold_the_host(in_sandbox: InSandbox) -> None:
    async def large(texts: Sequence[str]) -> Sequence[str]:
        return ["x" * 1_000_000]

    async def test(sandbox: WorkerSandbox) -> None:
        asking = frame(Kind.CALL, call("7", "[1]").replace("slow", "large"), b"x")
        code = f"""{PRELUDE}
host._listen = None
for frame in sys._current_frames().values():  # keep the listener from the interpreter
    pass
data = {asking!r}.replace({OWN.encode()!r}, cell.encode())
sys.setswitchinterval(1e6)
while True: os.write(channel, data)
"""
        before = peak_memory()
        started = time.monotonic()
        result = await sandbox.run(code, seconds=0.5)
        assert result.status in ("timeout", "interrupted")
        assert time.monotonic() - started < 3
        assert peak_memory() - before < 300

    in_sandbox(test, LIMITS, {"large": large})


def test_snapshots_are_bounded_and_never_read_by_the_host(in_sandbox: InSandbox, tmp_path: Path) -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        code = f"""{PRELUDE}
class Payload:
    def __reduce__(self): return (open, ({str(tmp_path / "marker")!r}, "w"))
payload = Payload()
"""
        await sandbox.run(code)
        await sandbox.get("payload")
        await sandbox.snapshot()
        assert not (tmp_path / "marker").exists()
        await sandbox.run("import threading")
        data = frame(Kind.DATA, f'{{"cell": "{OWN}"}}', b"x" * (1 << 20))
        await sandbox.run(
            f"""
class Flood:
    def __reduce__(self):
        frame = sys._getframe()
        while frame.f_code.co_name != "serve": frame = frame.f_back
        data = {data!r}.replace({OWN.encode()!r}, frame.f_locals["cell"].encode())
        while True: os.write(channel, data)
payload = Flood()
"""
        )
        before = peak_memory()
        with pytest.raises(SandboxError, match="more data than it may"):
            await sandbox.snapshot()
        assert peak_memory() - before < 100

    in_sandbox(test, CellLimits(seconds=10, snapshot_mb=1))


def peak_memory() -> float:
    """The host's own, in MiB, at this moment."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / (1 << 20)
