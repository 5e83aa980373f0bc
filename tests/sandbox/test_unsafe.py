import asyncio
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from palaestra.core.errors import SandboxError, SandboxUnavailable
from palaestra.sandbox.base import CellLimits
from palaestra.sandbox.unsafe import UnsafeLauncher, UnsafeWorker
from palaestra.sandbox.worker_sandbox import WorkerSandbox
from tests.attacks.watch import eventually
from tests.sandbox.descriptors import descriptors

LIMITS = CellLimits(seconds=20, output_chars=1_000)


def new_sandbox() -> WorkerSandbox:
    return WorkerSandbox(UnsafeLauncher(), LIMITS, {})


def with_sandbox(test: Callable[[WorkerSandbox], Awaitable[None]]) -> None:
    async def body() -> None:
        sandbox = new_sandbox()
        await sandbox.start()
        try:
            await test(sandbox)
        finally:
            await sandbox.close()

    asyncio.run(body())


def is_running(process: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


@pytest.mark.parametrize(
    ("code", "ended"),
    [
        ("import os; os._exit(7)", "ended itself with status 7"),
        ("import ctypes; ctypes.string_at(0)", "was killed by SIGSEGV"),
        ("import os, signal; os.killpg(0, signal.SIGKILL)", "was killed by SIGKILL"),
    ],
)
def test_how_a_session_ended_is_told(code: str, ended: str) -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        result = await sandbox.run(code)
        assert result.status == "died"
        assert ended in result.error

    with_sandbox(test)


def test_a_cell_out_of_time_is_killed_with_everything_that_it_started() -> None:
    code = """
import os, signal, subprocess, sys
for number in (signal.SIGTERM, signal.SIGINT): signal.signal(number, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
away = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
forked = os.fork()
if forked:
    print(os.getpid(), child.pid, away.pid, forked, os.getcwd())
while True: pass
"""

    async def test(sandbox: WorkerSandbox) -> None:
        result = await sandbox.run(code, seconds=1)
        assert result.status == "timeout"
        *processes, scratch = result.stdout.split()
        assert len(processes) == 4
        assert not [process for process in processes if is_running(int(process))]
        assert not Path(scratch).exists()

    with_sandbox(test)


class Breaking(UnsafeLauncher):
    """A launcher one of whose streams is broken when it hands out its worker."""

    async def launch(self, limits: CellLimits) -> UnsafeWorker:
        self.worker = await super().launch(limits)
        self.worker.streams.stderr.close()
        return self.worker


def test_a_lack_of_open_files_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    launcher = UnsafeLauncher()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def body() -> None:
        lowest_free = os.dup(0)
        os.close(lowest_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free + 3, hard))
        try:
            with pytest.raises(SandboxUnavailable, match="open files"):
                await launcher.launch(LIMITS)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    before = descriptors()
    asyncio.run(body())
    assert not list(tmp_path.iterdir())
    assert not descriptors() - before


def test_a_start_that_fails_half_way_leaves_nothing() -> None:
    async def body() -> UnsafeWorker:
        launcher = Breaking()
        sandbox = WorkerSandbox(launcher, LIMITS, {})
        with pytest.raises(ValueError, match="closed file"):
            await sandbox.start()
        await sandbox.close()
        return launcher.worker

    worker = asyncio.run(body())
    assert worker.process.returncode is not None
    assert not Path(worker.scratch).exists()
    assert worker.streams.stdout.closed
    assert worker.streams.channel.fileno() == -1


def test_closing_leaves_no_process_folder_or_descriptor() -> None:
    async def body() -> None:
        opened = descriptors()
        for _ in range(5):
            sandbox = new_sandbox()
            await sandbox.start()
            result = await sandbox.run("import os; open('file', 'w').write('x'); os.getpid(), os.getcwd()")
            process, scratch = result.value.strip("()").split(", ")
            assert Path(scratch.strip("'"), "file").exists()
            await sandbox.close()
            assert not is_running(int(process))
            assert not Path(scratch.strip("'")).exists()
        await asyncio.sleep(0.05)
        assert not descriptors() - opened

    asyncio.run(body())


def test_nothing_of_the_host_is_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)

    async def test(sandbox: WorkerSandbox) -> None:
        assert "sk-canary" not in (await sandbox.run("import os; dict(os.environ)")).value
        assert "canary" not in (await sandbox.run("open('/proc/self/environ').read()")).value
        found = await sandbox.run(
            "import os\ndef links():\n  for fd in os.listdir('/proc/self/fd'):\n"
            "    try: yield os.readlink(f'/proc/self/fd/{fd}')\n    except OSError: pass\n"
            "sorted(link.split(':')[0] for link in links())"
        )
        assert found.value == "['/dev/null', 'pipe', 'pipe', 'pipe', 'socket']"
        limit = await sandbox.run("import resource; resource.getrlimit(resource.RLIMIT_CORE)")
        most = 1 if resource.getrlimit(resource.RLIMIT_CORE)[1] else 0  # 0 starts a program that takes dumps
        assert limit.value == f"({most}, {most})"

    with_sandbox(test)
    os.close(reader)
    os.close(writer)


def test_what_a_child_prints_is_captured_and_a_fork_does_not_answer_for_the_session() -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        result = await sandbox.run("import os, subprocess; subprocess.run(['/bin/echo', 'child'])")
        assert result.stdout == "child\n"
        await sandbox.run("kind = 'child' if os.fork() == 0 else 'parent'")
        assert (await sandbox.run("kind")).value == "'parent'"

    with_sandbox(test)


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 3_000_000)

    async def test(sandbox: WorkerSandbox) -> None:
        await sandbox.run("import os; os.mkdir('folder')")
        with pytest.raises(SandboxError, match="folder cannot be written: IsADirectoryError"):
            await sandbox.put_file("folder", tmp_path / "file")
        assert (await sandbox.run("1 + 1")).value == "2"

    with_sandbox(test)


HOST = """
import asyncio
from palaestra.sandbox.base import CellLimits
from palaestra.sandbox.unsafe import UnsafeLauncher, UnsafeWorker
from palaestra.sandbox.worker_sandbox import WorkerSandbox

async def main():
    sandbox = WorkerSandbox(UnsafeLauncher(), CellLimits(), {})
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


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_nothing_is_left_when_the_host_is_stopped(tmp_path: Path, number: signal.Signals) -> None:
    names = tmp_path / "names"
    code = HOST.replace("CELL", repr(CELL.replace("NAMES", repr(str(names)))))
    host = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    assert eventually(lambda: names.exists() and names.read_text().endswith("\n"))
    worker, child, scratch = names.read_text().split()
    assert is_running(int(worker))
    assert is_running(int(child))
    host.send_signal(number)
    host.wait()
    assert eventually(
        lambda: not is_running(int(worker)) and not is_running(int(child)) and not Path(scratch).exists()
    )
