"""Memory, disk, time and output."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Coroutine, Sequence
from pathlib import Path

import pytest

from palaestra.sandbox.base import CellResult
from tests.attacks import watch
from tests.attacks.attack import Target, attack, worker_of

MEMORY_MB = 256
DISK_MB = 16


@attack(35, "takes three times the memory it may have, and loses its variables", on_unsafe="stopped")
async def test_memory(target: Target) -> bool:
    async with target.session(memory_mb=MEMORY_MB) as session:
        await session.run("kept = 42")
        worker = await worker_of(session)
        result = await session.run(f"big = b'x' * ({3 * MEMORY_MB} << 20)")
        if target.backend == "docker" and result.status == "died":
            return "memory" not in result.error
        assert "MemoryError" in result.error
        kept = (await session.run("kept")).value
        return kept != "42" or watch.kibibytes(worker, "VmHWM") > MEMORY_MB << 10


@attack(35, "takes memory piece by piece, in shared mappings too", on_unsafe="stopped")
async def test_memory_in_pieces(target: Target) -> bool:
    async with target.session(memory_mb=MEMORY_MB) as session:
        worker = await worker_of(session)
        await session.run(f"""
import mmap
kept = []
for number in range({3 * MEMORY_MB // 8}):
    try:
        kept.append(mmap.mmap(-1, 8 << 20) if number % 2 else bytearray(8 << 20))
        kept[-1][:] = b"x" * (8 << 20)
    except (MemoryError, OSError):
        pass""")
        return watch.is_running(worker) and watch.kibibytes(worker, "VmHWM") > MEMORY_MB * 1.1 * 1024


@attack(35, "hoards memory in the buffers of sockets and pipes", on_unsafe="not tried")
async def test_memory_of_buffers(target: Target) -> bool:
    code = """
import fcntl
kept, hoarded = [], 0
def fill(descriptor):
    global hoarded
    os.set_blocking(descriptor, False)
    while works(lambda: kept.append(os.write(descriptor, bytes(1 << 16)))):
        hoarded += kept.pop()
for _ in range(3000):
    try:
        reader, writer = os.pipe()
        kept += [reader, writer]
        works(fcntl.fcntl, writer, 1031, 1 << 20)
        fill(writer)
        one, other = socket.socketpair()
        kept += [one, other]
        fill(one.fileno())
    except OSError:
        break
hoarded"""
    result = await target.run(code, memory_mb=MEMORY_MB)
    return result.status == "ok" and int(result.value) > MEMORY_MB << 20


FILLS = {
    "one file": "kept = [open('file', 'wb', 0)]",
    "many files": "kept = [open(f'file{n}', 'wb', 0) for n in range(8)]",
    "a file without a name": "kept = [open('file', 'wb', 0)]; os.remove('file')",
    "a file without ever a name": "kept = [open(os.open('.', 0o20200000 | os.O_RDWR, 0o600), 'wb', 0)]",
    "the folder for shared memory": "kept = [open('/dev/shm/attack', 'wb', 0)]; os.remove(kept[0].name)",
}


@pytest.mark.parametrize("way", FILLS)
@attack(37, "fills the disk", on_unsafe="not tried")
async def test_disk(target: Target, way: str) -> bool:
    code = f"""
{FILLS[way]}
written = 0
for _ in range({4 * DISK_MB}):
    for file in kept:
        if works(lambda: kept.append(file.write(bytes(1 << 17)))):
            written += kept.pop()
            time.sleep(0.005)
print(written)"""
    async with target.session(disk_mb=DISK_MB) as session:
        printed = (await session.run(code)).stdout
    return printed != "" and int(printed) > 1.5 * DISK_MB * 2**20


@attack(37, "reserves the disk without writing to it", on_unsafe="not tried")
async def test_reserved_disk(target: Target) -> bool:
    """All at once, beyond the size that a file may have, before a watch can notice."""
    code = f"""
kept = [os.open(f'file{{number}}', os.O_CREAT | os.O_RDWR) for number in range(8)]
reserved, keep_size = 0, 1
for start in range(0, 8 * {DISK_MB << 20}, {DISK_MB << 20}):
    for file in kept:
        if not libc.fallocate(file, keep_size, ctypes.c_long(start), ctypes.c_long({DISK_MB << 20})):
            reserved += {DISK_MB << 20}
print(reserved, flush=True)"""
    async with target.session(disk_mb=DISK_MB) as session:
        return int((await session.run(code)).stdout) > 1.5 * DISK_MB * 2**20


@attack(35, "hoards memory of the kernel in locks of files", on_unsafe="not tried")
async def test_locks(target: Target) -> bool:
    """The host can count them, though not whose they are."""
    before = Path("/proc/locks").read_text().count("\n")
    async with target.session() as session:
        await session.run("""
import fcntl
file = open("locked", "wb")
for kind in (6, 37):  # of the process, of the open file
    for start in range(500):
        if not works(fcntl.fcntl, file, kind, struct.pack("hhqqi4x", 1, 0, 2 * start, 1, 0)): break""")
        return Path("/proc/locks").read_text().count("\n") > before + 250


@attack(37, "makes files without number", on_unsafe="not tried")
async def test_inodes(target: Target) -> bool:
    code = """
made = 0
for number in range(20_000):
    made += works(os.mkdir, f"{number}")
print(made)"""
    printed = (await target.run(code, disk_mb=DISK_MB)).stdout
    return printed != "" and int(printed) == 20_000


@attack(38, "prints without end, to fill the host's memory", on_unsafe="stopped")
async def test_output(target: Target) -> bool:
    async with target.session(output_chars=1000) as session:
        grown = watch.grown_since_now()
        result = await session.run("while True: print('x' * 100_000); os.write(2, bytes(65536))", seconds=1)
        assert result.truncated
        return grown() > 20_000 or len(result.stdout + result.stderr) > 2000


@attack("+", "prints without end after its cell, to keep the host busy", on_unsafe="stopped")
async def test_output_between_cells(target: Target) -> bool:
    async with target.session() as session:
        await session.run("""
written = 0
def chatter():
    global written
    while True: written += os.write(1, bytes(65536))
threading.Thread(target=chatter, daemon=True).start()""")
        await asyncio.sleep(0.2)
        before = int((await session.run("written")).value)
        await asyncio.sleep(0.5)
        return int((await session.run("written")).value) - before > 8 << 20


@attack(38, "returns a value, an error and variables without end", on_unsafe="stopped")
async def test_long_answers(target: Target) -> bool:
    async with target.session(output_chars=1000, memory_mb=1024) as session:
        value = await session.run("'x' * 30_000_000")
        error = await session.run("raise ValueError('x' * 30_000_000)")
        names = await session.run(
            "globals().update({'n' * 1000 + str(number): 0 for number in range(10_000)})"
        )
        return max(len(result.model_dump_json()) for result in (value, error, names)) > 100_000


ODD = {
    "no end of line": "print('x' * 99, end='')",
    "terminal codes": "print('\\x1b[2J\\x1b]0;title\\x07\\x9b31m\\r\\b')",
    "bytes that are no UTF-8": "os.write(1, bytes(range(256)))",
    "half a character": "os.write(1, '\\N{PILE OF POO}'.encode()[:3])",
    "lone surrogates": "print('\\ud800'); '\\udfff'",
    "a mark, a NUL and a planet": "print('\\ufeff\\0\\U0001FA90')",
    "an error with a lone surrogate": "raise ValueError('\\ud800')",
    "a variable with a lone surrogate": "globals()['\\ud800'] = 1",
    "a variable that is no word": "globals()['\\n[red] x=1; import os'] = 1",
    "a type with an odd name": "x = type('\\ud800\\0\\n', (), {})()",
}


@pytest.mark.parametrize("text", ODD)
@attack(39, "says what the host cannot log", on_unsafe="stopped")
async def test_odd_text(target: Target, text: str) -> bool:
    async with target.session() as session:
        result = await session.run(ODD[text])
        assert result.status in ("ok", "error")
        stored = json.dumps(result.model_dump(mode="json"), ensure_ascii=False).encode()
        assert type(result).model_validate_json(stored) == result
        return (await session.run("6 * 7")).value != "42"


@attack(40, "loops, and takes its variables with it", on_unsafe="stopped")
async def test_loop(target: Target) -> bool:
    async with target.session() as session:
        await session.run("kept = 42")
        result = await session.run("while True: pass", seconds=0.3)
        assert result.status == "interrupted"
        return (await session.run("kept")).value != "42"


STALLS = {
    "a handler that swallows everything": """
for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
    works(signal.signal, number, signal.SIG_IGN)
while True:
    try:
        while True: pass
    except BaseException: pass""",
    "blocked signals": "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\nwhile True: pass",
    "a great power": "10 ** 10 ** 8",
    "a regex that backtracks": "re.match('(x+x+)+y', 'x' * 60)",
    "a sort that never ends": """
class Slow:
    def __lt__(self, other):
        try:
            while True: pass
        except BaseException: return self < other
sorted([Slow(), Slow()])""",
    "a destructor": """
class Slow:
    def __del__(self):
        while True:
            try:
                while True: pass
            except BaseException: pass
del Slow().x""",
    "a repr": """
class Slow:
    def __repr__(self):
        while True:
            try:
                while True: pass
            except BaseException: pass
Slow()""",
    "a stopped process": "os.kill(os.getpid(), signal.SIGSTOP)",
    "a closed channel end": "[works(os.dup2, 2, n) for n in range(3, 64)]; time.sleep(30)",
    "a metaclass that the listing of variables meets": """
class Meta(type):
    @property
    def __name__(self):
        while True: pass
class Odd(metaclass=Meta): pass
x = Odd()""",
    "a length that never comes": """
class Odd:
    def __len__(self):
        while True: pass
x = Odd()""",
}


@pytest.mark.parametrize("stall", STALLS)
@attack(41, "does not end when its time is over", on_unsafe="stopped")
async def test_stall(target: Target, stall: str) -> bool:
    async with target.session() as session:
        return await _hangs(session.run(STALLS[stall], seconds=0.3))


async def _hangs(cell: Coroutine[None, None, CellResult]) -> bool:
    try:
        async with asyncio.timeout(watch.HANG_SECONDS):
            await cell
    except TimeoutError:
        return True
    return False


@attack(43, "buys time with calls of host functions", on_unsafe="stopped")
async def test_bought_time(target: Target) -> bool:
    async def quick(texts: Sequence[str]) -> Sequence[str]:
        await asyncio.sleep(0.05)
        return texts

    code = """
def calls():
    while True: quick("x")
for _ in range(3): threading.Thread(target=calls, daemon=True).start()
while True: pass"""
    async with target.session({"quick": quick}, total_seconds=1) as session:
        return await _hangs(session.run(code, seconds=0.3))


@attack(43, "buys time with clocks and alarms", on_unsafe="stopped")
async def test_clocks(target: Target) -> bool:
    code = """
signal.setitimer(signal.ITIMER_REAL, 0)
works(signal.signal, signal.SIGINT, lambda *_: None)
works(signal.signal, signal.SIGALRM, lambda *_: None)
time.time = time.monotonic = lambda: 0
while True: pass"""
    async with target.session() as session:
        return await _hangs(session.run(code, seconds=0.3))


@attack(45, "makes the host convert numbers of a million digits", on_unsafe="stopped")
async def test_digits(target: Target) -> bool:
    code = """
sys.set_int_max_str_digits(0)
class Long:
    def __len__(self): return sys.maxsize
x, y = Long(), 10 ** 30_000
y"""
    async with target.session() as session:
        result = await session.run(code)
        numbers = re.findall(r"\d{5000,}", result.model_dump_json(exclude={"value"}))
        return bool(numbers)
