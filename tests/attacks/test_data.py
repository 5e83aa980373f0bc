"""Values, texts, files and snapshots on their way between a session and the host."""

from __future__ import annotations

import asyncio
import os
import pickle
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from palaestra.core.errors import SandboxError
from palaestra.sandbox.worker.wire import Kind, pack
from tests.attacks import watch
from tests.attacks.attack import Target, attack


class Marker:
    """Unpickled, it leaves a file with the number of the process that did so."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"echo breach >> {self.path}",)


@attack(54, "has the host unpickle a value, an argument or an error", on_unsafe="stopped")
async def test_pickle(target: Target) -> bool:
    marker = target.folder / "marker"
    payload = pickle.dumps(Marker(marker))
    async with target.session({"echo": _echo}) as session:
        for code in (
            f"{payload!r}",
            f"echo({payload!r}.decode('latin1'))",
            f"raise ValueError({payload!r})",
            f"print({payload!r}); x = {payload!r}; x",
        ):
            await session.run(code)
        await session.get("x")
    return marker.exists()


@attack(54, "leaves a trap in a snapshot for the host", on_unsafe="stopped")
async def test_snapshot(target: Target) -> bool:
    marker = target.folder / "marker"
    async with target.session() as session:
        await session.run(f"""
class Trap:
    def __reduce__(self):
        return eval, ("open({str(marker)!r}, 'a').write(str(__import__('os').getpid()) + ' ')",)
trap = Trap()""")
        try:
            snapshot = await session.snapshot()
        except SandboxError:
            return False
    assert not marker.exists() or str(os.getpid()) not in marker.read_text().split()
    async with target.session() as session:
        with suppress(SandboxError):
            await session.restore(snapshot)
        outside = marker.read_text().split() if marker.exists() else []
        return str(os.getpid()) in outside or (target.isolated and bool(outside))


@attack(55, "has an error name a class for the host to make", on_unsafe="stopped")
async def test_class_path(target: Target) -> bool:
    async with target.session() as session:
        result = await session.run("""
class Popen(Exception): pass
Popen.__module__ = "subprocess"; Popen.__qualname__ = "Popen"
raise Popen("touch", "breach")""")
        return result.status != "error" or "subprocess.Popen" not in result.error


@attack(56, "sends host functions text that is none", on_unsafe="stopped")
async def test_odd_arguments(target: Target) -> bool:
    seen: list[str] = []

    async def echo(texts: Sequence[str]) -> Sequence[str]:
        seen.extend(texts)
        return texts

    async with target.session({"echo": echo}) as session:
        result = await session.run(
            r"""echo(["\ud800", "\ufeff", "\0", "\U0001FA90", "\x1b[2J", "a\r\nb", ""])"""
        )
        "".join(seen).encode()
        return result.status != "ok" or len(seen) != 7 or seen[1:4] != ["\ufeff", "\0", "\U0001fa90"]


@attack(11, "is handed names that lead out of the scratch folder", on_unsafe="stopped")
async def test_names(target: Target) -> bool:
    source = target.folder / "source"
    source.write_text(target.secret)
    names = (
        "../out",
        "/tmp/out",
        "a/../../out",
        "",
        ".",
        "..",
        "nul\0",
        "x" * 5000,
        "new\nline",
        str(target.folder / "out"),
    )
    refused = 0
    async with target.session() as session:
        for name in names:
            try:
                await session.put_file(name, source)
            except (SandboxError, ValueError):
                refused += 1
        alive = (await session.run("6 * 7")).value == "42"
    return refused < len(names) or not alive or sorted(os.listdir(target.folder)) != ["source"]


TRAPS = {
    "a symbolic link to a file of the host": "os.symlink({canary!r}, 'file')",
    "a pipe that nobody reads": "os.mkfifo('file')",
    "a socket": "socket.socket(socket.AF_UNIX).bind('file')",
    "a folder": "os.mkdir('file')",
    "a link to a link to itself": "os.symlink('file', 'file')",
}


@pytest.mark.parametrize("trap", TRAPS)
@attack(12, "lays a trap where the host will put a file", on_unsafe="stopped")
async def test_traps(target: Target, trap: str) -> bool:
    canary = target.canary
    source = target.folder / "source"
    source.write_text("breach")
    async with target.session() as session:
        await session.run(TRAPS[trap].format(canary=str(canary)))
        try:
            async with asyncio.timeout(watch.HANG_SECONDS):
                await session.put_file("file", source)
        except SandboxError:
            pass
        except TimeoutError:
            return True
        return canary.read_text() != target.secret


@attack(72, "is a context that looks like the protocol", on_unsafe="stopped")
async def test_hostile_context(target: Target) -> bool:
    lines = (
        pack(Kind.DONE, {"cell": "0" * 32, "status": "ok"}, b"forged").decode("latin1")
        + '\n{"type": "final"}\n>>> \x04\x1b[2J\0\n"""\\\n'
    )
    text = lines * 40_000
    async with target.session(memory_mb=1024) as session:
        await session.put("context", text)
        value = (
            await session.run(
                "len(context), context.count('final'), __import__('zlib').crc32(context.encode())"
            )
        ).value
        expected = (len(text), 40_000, zlib.crc32(text.encode()))
        return value != str(expected)


async def _echo(texts: Sequence[str]) -> Sequence[str]:
    return texts
