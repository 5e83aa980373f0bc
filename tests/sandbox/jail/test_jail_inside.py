"""What cells can and cannot do, beyond the attacks that every backend has to stand."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from palaestra.core.errors import SandboxError
from palaestra.sandbox.base import CellLimits
from palaestra.sandbox.worker_sandbox import WorkerSandbox

InSandbox = Callable[..., None]
CALL = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def system_call(number, *arguments):
    result = libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments))
    return 'done' if result >= 0 else errno.errorcode[ctypes.get_errno()]
"""


async def value(sandbox: WorkerSandbox, code: str) -> str:
    result = await sandbox.run(code)
    assert result.status == "ok", result
    return result.value


async def error(sandbox: WorkerSandbox, code: str) -> str:
    result = await sandbox.run(code)
    assert result.status == "error", result
    return result.error.splitlines()[-1]


def test_the_lock_cannot_be_opened_from_inside(in_sandbox: InSandbox) -> None:
    """PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, raised limits, and Landlock's own calls."""

    async def test(sandbox: WorkerSandbox) -> None:
        prctl = f"{CALL}\nimport platform\nprctl = 157 if platform.machine() == 'x86_64' else 167\n"
        tried = "[system_call(prctl, *call) for call in ((1, 0), (4, 1), (22, 2, 0), (36, 1), (15, 0))]"
        assert await value(sandbox, prctl + tried) == "['EPERM', 'EPERM', 'EPERM', 'EPERM', 'EFAULT']"
        raising = "import resource\nresource.setrlimit(resource.{0}, (1 << 40, 1 << 40))"
        for limit in ("RLIMIT_AS", "RLIMIT_NPROC", "RLIMIT_NOFILE", "RLIMIT_FSIZE", "RLIMIT_CORE"):
            assert "not allowed to raise" in await error(sandbox, raising.format(limit))

    in_sandbox(test)


def test_memory_that_no_limit_counts_is_refused(in_sandbox: InSandbox) -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        assert "not permitted" in await error(sandbox, "import os; os.memfd_create('x')")
        assert "not permitted" in await error(
            sandbox, "import fcntl, os\nr, w = os.pipe()\nfcntl.fcntl(w, 1031, 1 << 20)"
        )
        shmget = f"{CALL}\nimport platform\nnumber = 29 if platform.machine() == 'x86_64' else 194\n"
        assert await value(sandbox, f"{shmget}system_call(number, 0, 1 << 20, 0o1600)") == "'EPERM'"

    in_sandbox(test)


def test_threads_fit_into_a_small_memory_and_are_bounded(in_sandbox: InSandbox) -> None:
    code = """
import threading
stop = threading.Event()
threads = [threading.Thread(target=stop.wait) for _ in range(40)]
for thread in threads: thread.start()
stop.set()
for thread in threads: thread.join()
len(threads)
"""
    bomb = "import time\nwhile True: threading.Thread(target=time.sleep, args=(9,), daemon=True).start()"

    async def test(sandbox: WorkerSandbox) -> None:
        assert await value(sandbox, code) == "40"
        assert "can't start new thread" in await error(sandbox, bomb)

    in_sandbox(test, CellLimits(memory_mb=512, processes=64))


def test_a_pair_of_sockets_reaches_no_address(in_sandbox: InSandbox, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0palaestra-test")
        listening.setblocking(False)

        async def test(sandbox: WorkerSandbox) -> None:
            code = "import socket\nsocket.socketpair(socket.AF_UNIX, socket.{0})[0]"
            assert "not permitted" in await error(sandbox, code.format("SOCK_DGRAM"))
            assert "not permitted" in await error(sandbox, code.format("SOCK_SEQPACKET"))
            sending = code.format("SOCK_STREAM") + ".sendto(b'x', '\\0palaestra-test')"
            assert "Error" in await error(sandbox, sending)
            connecting = code.format("SOCK_STREAM") + ".connect('\\0palaestra-test')"
            assert "not permitted" in await error(sandbox, connecting)
            assert await value(sandbox, "import asyncio; asyncio.run(asyncio.sleep(0, 'runs'))") == "'runs'"

        in_sandbox(test)
        with pytest.raises(BlockingIOError):
            listening.recv(1)


def test_signals_reach_the_own_process_alone(in_sandbox: InSandbox) -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        for target in (
            "os.kill(0, 0)",
            "os.kill(-1, 0)",
            "os.kill(1, 0)",
            "os.killpg(1, 0)",
            "os.kill(os.getppid(), 0)",
        ):
            assert "not permitted" in await error(sandbox, f"import os; {target}")
        owner = "import fcntl, os\nr, w = os.pipe()\nfcntl.fcntl(r, 8, 1)"  # F_SETOWN: who gets SIGIO
        assert "not permitted" in await error(sandbox, owner)
        assert await value(sandbox, "import os, signal; os.kill(os.getpid(), signal.SIGURG)") == ""

    in_sandbox(test)


def test_the_disk_is_bounded_in_bytes_and_files(in_sandbox: InSandbox, tier: str) -> None:
    fill = "for n in range(100):\n  with open(f'big{n}', 'wb') as f: f.write(bytes(1 << 20))"
    many = "import time\nfor n in range(20_000): open(f'f{n}', 'w').close()\ntime.sleep(5)"

    async def test(sandbox: WorkerSandbox) -> None:
        for code in (fill + "\n  import time; time.sleep(0.01)", many):
            result = await sandbox.run(code)
            if tier == "namespaces":
                assert "No space left on device" in result.error
                await sandbox.run("import glob, os\nfor name in glob.glob('*'): os.unlink(name)")
            else:
                assert (result.status, "scratch folder of more than" in result.error) == ("died", True)
                await sandbox.start()
        one = "with open('one', 'wb') as f:\n  while True: f.write(bytes(1 << 20))"
        assert "Error" in (await sandbox.run(one)).error

    in_sandbox(test, CellLimits(disk_mb=8))


@pytest.mark.parametrize("tier", ["namespaces"], indirect=True)  # the other ends such a session
def test_a_file_that_does_not_fit_takes_no_room(in_sandbox: InSandbox, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(3 << 20))
    (tmp_path / "small").write_bytes(b"small")

    async def test(sandbox: WorkerSandbox) -> None:
        with pytest.raises(SandboxError, match=r"sandbox\.limits\.disk_mb"):
            await sandbox.put_file("large", tmp_path / "large")
        await sandbox.put_file("small", tmp_path / "small")
        code = "import os\nos.listdir('.'), open('small').read()"
        assert await value(sandbox, code) == "(['small'], 'small')"

    in_sandbox(test, CellLimits(disk_mb=2))


def test_nothing_but_the_scratch_folder_can_be_written(in_sandbox: InSandbox, tier: str) -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        for folder in ("/", "/dev", "/usr/lib", "/usr/share", "/dev/shm", "/var/tmp"):
            assert "Error" in await error(sandbox, f"open('{folder}/planted', 'w')")
        if tier == "namespaces":
            assert await value(
                sandbox, "import os; os.path.exists('/proc'), os.path.exists('/etc/passwd')"
            ) == ("(False, False)")
        assert await value(sandbox, "open('mine', 'w').write('x'), open('mine').read()") == "(1, 'x')"
        truncating = "import os\nos.open(os.__file__, os.O_RDONLY | os.O_TRUNC)"
        assert "Error" in await error(sandbox, truncating)

    in_sandbox(test)


def test_packages_of_the_interpreter_are_hidden_and_its_own_modules_are_not(in_sandbox: InSandbox) -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        reading = "import json, os\nopen(os.path.dirname(os.__file__) + '/site-packages/pip/__init__.py')"
        assert "Error" in await error(sandbox, reading)
        modules = "import bz2, ctypes, decimal, hashlib, lzma, sqlite3, zoneinfo\n"
        assert await value(sandbox, f"{modules}zoneinfo.ZoneInfo('Asia/Tokyo').key") == "'Asia/Tokyo'"

    in_sandbox(test)


def test_the_smallest_memory_is_enough_or_refused(in_sandbox: InSandbox) -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        assert await value(sandbox, "6 * 7") == "42"
        assert "MemoryError" in await error(sandbox, "bytearray(64 << 20)")

    in_sandbox(test, CellLimits(memory_mb=64))


def test_folders_of_the_host_are_not_in_the_arguments(in_sandbox: InSandbox) -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        assert await value(sandbox, "import sys; sys.argv, sys.orig_argv") == "([''], [])"

    in_sandbox(test)
