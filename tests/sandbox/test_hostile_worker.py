"""Cells that speak to the host past the worker, on the channel itself."""

import asyncio
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from palaestra.core.errors import SandboxError
from palaestra.sandbox.base import CellLimits
from palaestra.sandbox.process import ProcessSandbox
from palaestra.sandbox.session import CALLS_UNDER_WAY
from palaestra.sandbox.worker.wire import Kind

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
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_no_worker_sends_ends_the_session_and_nothing_else(attack: str) -> None:
    async def body() -> None:
        sandbox = ProcessSandbox(CellLimits(seconds=10), {})
        await sandbox.start()
        process = (await sandbox.run("import os; os.getpid()")).value
        sending = f"os.write(channel, {ATTACKS[attack]!r}.replace({OWN.encode()!r}, cell.encode()))"
        with pytest.raises(SandboxError, match="its session was ended"):
            await sandbox.run(f"{PRELUDE}\n{sending}\ntime.sleep(9)")
        assert not is_running(process)
        with pytest.raises(SandboxError, match="not running"):
            await sandbox.run("1")
        await sandbox.start()
        assert (await sandbox.run("1 + 1")).value == "2"
        await sandbox.close()

    asyncio.run(body())


def test_a_forged_end_is_a_claim_about_its_own_cell_and_the_real_one_then_ends_the_session() -> None:
    async def body() -> None:
        sandbox = ProcessSandbox(CellLimits(seconds=10), {})
        await sandbox.start()
        forged = frame(Kind.DONE, done(OWN), b"forged")
        sending = f"os.write(channel, {forged!r}.replace({OWN.encode()!r}, cell.encode()))"
        assert (await sandbox.run(f"{PRELUDE}\n{sending}\ntime.sleep(0.2)")).value == "forged"
        with pytest.raises(SandboxError, match="belongs to no running cell"):
            await sandbox.run("1")
        await sandbox.close()

    asyncio.run(body())


def test_a_flood_of_calls_waits_in_the_socket_and_unoffered_functions_are_refused() -> None:
    most = under_way = 0

    async def slow(texts: Sequence[str]) -> Sequence[str]:
        nonlocal most, under_way
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        return texts

    async def body() -> None:
        sandbox = ProcessSandbox(CellLimits(seconds=20), {"slow": slow})
        await sandbox.start()
        flood = frame(Kind.CALL, call("7", "[1]"), b"x")
        sending = f"data = {flood!r}.replace({OWN.encode()!r}, cell.encode())"
        code = f"{PRELUDE}\n{sending}\nfor _ in range(1_000): os.write(channel, data)"
        assert (await sandbox.run(code)).status == "ok"
        assert most == CALLS_UNDER_WAY
        refused = await sandbox.run(f"{PRELUDE}\nhost.call('nope', ['x'])")
        assert "no function 'nope'" in refused.error
        await sandbox.close()

    asyncio.run(body())


HOST = """
import asyncio
from palaestra.sandbox.base import CellLimits
from palaestra.sandbox.process import ProcessSandbox

async def main():
    sandbox = ProcessSandbox(CellLimits(), {})
    await sandbox.start()
    await sandbox.run(CELL)

asyncio.run(main())
"""

CELL = """
import os, subprocess
child = subprocess.Popen(["/bin/sleep", "60"])
with open(NAMES, "w") as names:
    print(os.getpid(), child.pid, os.getcwd(), file=names)
while True:
    pass
"""


def test_nothing_is_left_when_the_host_is_killed(tmp_path: Path) -> None:
    names = tmp_path / "names"
    code = HOST.replace("CELL", repr(CELL.replace("NAMES", repr(str(names)))))
    host = subprocess.Popen([sys.executable, "-c", code])
    wait_until(lambda: names.exists() and names.read_text().endswith("\n"))
    worker, child, scratch = names.read_text().split()
    assert is_running(worker)
    assert is_running(child)
    host.kill()
    host.wait()
    wait_until(lambda: not is_running(worker) and not is_running(child) and not Path(scratch).exists())


def is_running(process: str) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within 10 seconds"
        time.sleep(0.02)
