import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from palaestra.core.errors import SandboxError
from palaestra.sandbox.base import CellLimits
from palaestra.sandbox.worker_sandbox import WorkerSandbox

InSandbox = Callable[..., None]

LINE = "naïve \N{PILE OF POO} line\n"


async def value(sandbox: WorkerSandbox, code: str) -> str:
    result = await sandbox.run(code)
    assert result.status == "ok", result
    return result.value


def test_texts_of_any_size_are_bound_and_read_back(in_sandbox: InSandbox) -> None:
    text = LINE * 2_000_000

    async def test(sandbox: WorkerSandbox) -> None:
        await sandbox.put("context", text)
        assert await value(sandbox, "len(context), context[:7], context.count('\\n')") == str(
            (len(text), "naïve \N{PILE OF POO}", 2_000_000)
        )
        await sandbox.put("empty", "")
        assert await sandbox.get("empty") == ""
        await sandbox.run("parts = [1, 'é']")
        assert await sandbox.get("parts") == "[1, 'é']"
        assert await sandbox.get("nothing") is None
        with pytest.raises(SandboxError, match="too many to hand out"):
            await sandbox.get("context")
        await sandbox.put("hostile", "<|im_end|>\x00\ufeff\u202e\ud800\r\n\x1b[2J")
        assert await value(sandbox, "hostile") == repr("<|im_end|>\x00\ufeff\u202e?\r\n\x1b[2J")
        await sandbox.run("class Loud:\n    def __str__(self): return 1 / 0\nloud = Loud()")
        with pytest.raises(SandboxError, match="ZeroDivisionError"):
            await sandbox.get("loud")
        assert (await value(sandbox, "1")) == "1"

    in_sandbox(test)


def test_a_text_above_the_limit_is_a_view_that_cells_can_read(in_sandbox: InSandbox, tmp_path: Path) -> None:
    text = LINE * 100_000
    (tmp_path / "text").write_text(text, encoding="utf-8")

    async def test(sandbox: WorkerSandbox) -> None:
        for source in (text, tmp_path / "text"):
            await sandbox.put("context", source)
            look = "type(context).__name__, len(context), context[7:9], context[-5:], 'POO' in context"
            assert await value(sandbox, look) == str(("LongText", len(text), " l", "line\n", False))
            assert await value(sandbox, "context.find('line', 20)") == str(text.find("line", 20))
            assert await value(sandbox, "sum(1 for line in context.lines() if 'naïve' in line)") == "100000"
            assert await value(sandbox, "len(context.findall(r'na\\wve'))") == "100000"
            assert (await value(sandbox, "context")).startswith("<LongText of 1,300,000 characters: 'naïve")
        hint = (await sandbox.run("import re; re.findall('x', context)")).error
        assert "TypeError: expected string" in hint
        assert "a LongText has len" in hint
        assert "lines()" in (await sandbox.run("context.split()")).error

    in_sandbox(test, CellLimits(seconds=20, text_mb=1))


def test_a_file_is_a_text_whatever_bytes_it_holds(in_sandbox: InSandbox, tmp_path: Path) -> None:
    data = b"\xff" + "é".encode() * (1 << 20) + b"\xc3"  # a piece ends in the middle of a character
    (tmp_path / "bytes").write_bytes(data)

    async def test(sandbox: WorkerSandbox) -> None:
        await sandbox.put("context", tmp_path / "bytes")
        assert await value(sandbox, "len(context), context[0], context[-2:]") == str(
            (2 + (1 << 20), "\ufffd", "é\ufffd")
        )

    in_sandbox(test)


def test_a_text_without_room_says_which_limits_to_change(in_sandbox: InSandbox) -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        with pytest.raises(SandboxError, match=r"memory_mb, which is 128, or lower sandbox\.limits\.text_mb"):
            await sandbox.put("context", "x" * 300_000_000)
        assert await value(sandbox, "1 + 1") == "2"

    in_sandbox(test, CellLimits(memory_mb=128))


PEAK = """
import asyncio, resource, sys
from pathlib import Path
from palaestra.sandbox.base import CellLimits
from palaestra.sandbox.unsafe import UnsafeLauncher
from palaestra.sandbox.worker_sandbox import WorkerSandbox

async def main():
    sandbox = WorkerSandbox(UnsafeLauncher(), CellLimits(text_mb=64), {})
    await sandbox.start()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await sandbox.put("context", Path(sys.argv[1]))
    print((await sandbox.run("len(context)")).value)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    await sandbox.close()

asyncio.run(main())
"""


def test_a_large_file_passes_through_the_host_in_pieces(tmp_path: Path) -> None:
    size = 200 << 20
    with open(tmp_path / "large", "wb") as file:
        file.truncate(size)
    done = subprocess.run(
        [sys.executable, "-c", PEAK, tmp_path / "large"], capture_output=True, text=True, check=True
    )
    length, growth = done.stdout.split()
    assert int(length) == size
    assert int(growth) < 20 << 10  # KiB


def test_files_are_given_read_only_under_safe_names(in_sandbox: InSandbox, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(b"a,b\n\xff,2\n" * 300_000)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/nowhere")

    async def test(sandbox: WorkerSandbox) -> None:
        for name in ("table 1.csv", "é" * 100):
            await sandbox.put_file(name, tmp_path / "table.csv")
            read = f"data = open({name!r}, 'rb').read(); len(data), data[:3]"
            assert await value(sandbox, read) == "(2400000, b'a,b')"
            mode = f"import os, stat; stat.filemode(os.stat({name!r}).st_mode)"
            assert await value(sandbox, mode) == "'-r--r--r--'"
        for name in (
            "",
            ".",
            "..",
            "a/b",
            "/etc/x",
            "../x",
            "a\0b",
            "a\nb",
            "\x1b[2J",
            "x" * 5_000,
            "\ud800",
        ):
            with pytest.raises(SandboxError, match="is no file name"):
                await sandbox.put_file(name, tmp_path / "table.csv")
        for source in ("pipe", "", "link", "absent", "nul\0"):
            with pytest.raises(SandboxError, match=r"cannot be read|no regular file"):
                await sandbox.put_file("x", tmp_path / source)
            with pytest.raises(SandboxError, match=r"cannot be read|no regular file"):
                await sandbox.put("x", tmp_path / source)
        await sandbox.run("import os; os.symlink('elsewhere', 'planted')")
        await sandbox.put_file("planted", tmp_path / "table.csv")
        assert (
            await value(sandbox, "os.path.islink('planted'), os.path.exists('elsewhere')") == "(False, False)"
        )
        assert await value(sandbox, "1 + 1") == "2"

    in_sandbox(test)
