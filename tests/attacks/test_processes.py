"""Other processes: starting them, signalling them, looking into them."""

from __future__ import annotations

import asyncio
import os
import platform
from contextlib import suppress

import pytest

from tests.attacks import watch
from tests.attacks.attack import Target, attack, worker_of

SILENT = int(watch.SILENT_SIGNAL)


@attack(21, "forks more processes than the session may have", on_unsafe="not tried")
async def test_forks(target: Target) -> bool:
    async with target.session(processes=20) as session:
        before = watch.descendants()
        await session.run("""
for _ in range(300):
    try:
        if os.fork() == 0:
            time.sleep(30)
            os._exit(0)
    except OSError:
        pass""")
        return len(watch.descendants() - before) > 20


@attack(21, "forks processes that fork", on_unsafe="not tried")
async def test_fork_tree(target: Target) -> bool:
    async with target.session(processes=20) as session:
        before = watch.descendants()
        await session.run(
            """
for _ in range(8):  # 2^8 processes at most
    works(os.fork)
time.sleep(2)""",
            seconds=1,
        )
        most = len(watch.descendants() - before)
        return most > 20


@attack(
    35,
    "takes memory in many processes",
    on_unsafe="not tried",
    known={"jail-processes": "memory is bounded for each process, not for all"},
)
async def test_memory_of_many(target: Target) -> bool:
    async with target.session(memory_mb=256) as session:
        before = watch.descendants()
        await session.run(f"""
for _ in range(6):
    try:
        if os.fork() == 0:
            kept = b"x" * ({128} << 20)
            time.sleep(30)
            os._exit(0)
    except OSError:
        pass
time.sleep(1)""")
        total = sum(watch.kibibytes(pid, "VmRSS") for pid in watch.descendants() - before)
        return total > 1.5 * 256 * 1024


@attack(22, "starts more threads than the session may have", on_unsafe="not tried")
async def test_threads(target: Target) -> bool:
    async with target.session(processes=20, memory_mb=4096) as session:
        worker = await worker_of(session)
        await session.run("""
threading.stack_size(1 << 16)
kept = [threading.Thread(target=time.sleep, args=(30,), daemon=True) for _ in range(2000)]
for thread in kept:
    try: thread.start()
    except RuntimeError: break""")
        return watch.is_running(worker) and int(watch.status(worker, "Threads")) > 25


@attack(21, "forks past the C library, as a sister of itself too", on_unsafe="not tried")
async def test_raw_forks(target: Target) -> bool:
    async with target.session(processes=20) as session:
        before = watch.descendants()
        await session.run("""
clone = 56 if os.uname().machine == "x86_64" else 220
for _ in range(30):
    for flags in (17, 0x8000 | 17, 0x8000, 0x00800000 | 17):  # CLONE_PARENT, CLONE_UNTRACED
        if libc.syscall(clone, flags, 0, 0, 0, 0) == 0:
            time.sleep(30)
            os._exit(0)""")
        return len(watch.descendants() - before) > 20


PROGRAMS = {
    "a shell": "subprocess.run(['/bin/sh', '-c', command], stdout=1)",
    "a shell by vfork": "os.posix_spawn('/bin/sh', ['sh', '-c', command], {}); time.sleep(1)",
    "Python": "subprocess.run([sys.executable or '/usr/bin/python3', '-c', 'print(6007 * 7001)'], stdout=1)",
    "a program in the worker's place": "os.execv('/bin/sh', ['sh', '-c', command])",
    "a file by the dynamic loader": (
        "subprocess.run([glob.glob('/lib*/ld-*.so*')[0], '/bin/sh', '-c', command], stdout=1)"
    ),
}


WRITE = "open('mine', 'w').write('#!/bin/sh\\n' + command); os.chmod('mine', 0o700)"
OWN_PROGRAMS = {
    "a file": f"{WRITE}; subprocess.run(['./mine'], stdout=1)",
    "a file by its descriptor": f"{WRITE}; kept = os.open('mine', os.O_RDONLY)\n"
    "os.set_inheritable(kept, True); os.execve(kept, ['x'], {'PATH': '/bin'})",
    "a file in memory": "kept = os.memfd_create('x', 0); os.write(kept, b'#!/bin/sh\\n' + command.encode())\n"
    "os.execve(kept, ['x'], {'PATH': '/bin'})",
}


@pytest.mark.parametrize("program", PROGRAMS)
@attack(
    23,
    "executes a program of the host",
    known={"jail-processes": "the setting allows it"},
)
async def test_programs(target: Target, program: str) -> bool:
    return await _executes(target, PROGRAMS[program])


@pytest.mark.parametrize("program", OWN_PROGRAMS)
@attack(23, "executes a program of its own")
async def test_own_programs(target: Target, program: str) -> bool:
    return await _executes(target, OWN_PROGRAMS[program])


async def _executes(target: Target, code: str) -> bool:
    result = await target.run(f"import glob, subprocess\ncommand = 'echo $((6007 * 7001))'\n{code}")
    return str(6007 * 7001) in result.stdout


SIGNALS = {
    "kill": f"os.kill(victim, {SILENT})",
    "kill of a group": f"os.killpg(group, {SILENT})",
    "tgkill": f"libc.syscall({{tgkill}}, victim, victim, {SILENT})",
    "tkill": f"libc.syscall({{tkill}}, victim, {SILENT})",
    "a pidfd": f"signal.pidfd_send_signal(os.pidfd_open(victim), {SILENT})",
    "sigqueue": f"libc.sigqueue(victim, {SILENT}, ctypes.c_void_p(1))",
    "rt_sigqueueinfo": (
        f"info = struct.pack('=iiiiii112x', {SILENT}, 0, -1, 0, os.getpid(), os.getuid()); "
        f"libc.syscall({{rt_sigqueueinfo}}, victim, {SILENT}, info)"
    ),
    "the owner of a pipe": (
        "import fcntl; reader, writer = os.pipe(); fcntl.fcntl(reader, fcntl.F_SETOWN, victim); "
        f"fcntl.fcntl(reader, 10, {SILENT}); "  # F_SETSIG
        "fcntl.fcntl(reader, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK); os.write(writer, b'x')"
    ),
    "the owner of a socket": (
        "import fcntl; one, other = socket.socketpair(); fcntl.fcntl(one, fcntl.F_SETOWN, victim); "
        f"fcntl.fcntl(one, 10, {SILENT}); "
        "fcntl.fcntl(one, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK); other.send(b'x')"
    ),
}
NUMBERS = {
    "x86_64": {"tgkill": 234, "tkill": 200, "rt_sigqueueinfo": 129},
    "aarch64": {"tgkill": 131, "tkill": 130, "rt_sigqueueinfo": 138},
}


@pytest.mark.parametrize("way", SIGNALS)
@attack(24, "sends a signal to a process outside")
async def test_signals(target: Target, way: str) -> bool:
    sending = SIGNALS[way]
    for name, number in NUMBERS[platform.machine()].items():
        sending = sending.replace(f"{{{name}}}", str(number))
    with watch.victim() as victim:
        await target.run(f"victim, group = {victim.pid}, {os.getpgid(victim.pid)}\n{sending}")
        return victim.got_a_signal()


@attack(24, "sends a signal to everybody", on_unsafe="not tried")
async def test_signal_to_all(target: Target) -> bool:
    with watch.victim() as victim:
        await target.run(f"for victim in (-1, 1, os.getppid()): works(os.kill, victim, {SILENT})")
        return victim.got_a_signal()


@attack(24, "kills the process that watches over it, and with it the next session", on_unsafe="not tried")
async def test_kill_the_keeper(target: Target) -> bool:
    async with target.session() as session:
        await session.run(f"""
keeper = os.getppid()
if keeper > 1 and keeper != {os.getpid()}:
    for number in (signal.SIGTERM, signal.SIGSTOP, signal.SIGKILL): works(os.kill, keeper, number)""")
    return (await target.run("6 * 7")).value != "42"


MEMORY_OF_OTHERS = {
    "/proc/PID/mem": """
with open(f"/proc/{victim}/mem", "rb") as memory:
    for start, end in areas():
        try:
            memory.seek(start)
            found += re.findall(pattern, memory.read(end - start))
        except OSError:
            pass""",
    "process_vm_readv": """
for start, end in areas():
    buffer = ctypes.create_string_buffer(end - start)
    here = struct.pack("=QQ", ctypes.addressof(buffer), end - start)
    there = struct.pack("=QQ", start, end - start)
    libc.process_vm_readv(victim, here, 1, there, 1, 0)
    found += re.findall(pattern, buffer.raw)""",
    "/proc/PID/environ": 'found += re.findall(pattern, open(f"/proc/{victim}/environ", "rb").read())',
}


@pytest.mark.parametrize("way", MEMORY_OF_OTHERS)
@attack(25, "reads the memory of a process outside")
async def test_memory_of_others(target: Target, way: str) -> bool:
    with watch.victim() as victim:
        code = f"""
victim, pattern, found = {victim.pid}, rb"{watch.SECRET_PATTERN}", []
def areas():
    for line in open(f"/proc/{{victim}}/maps"):
        if "[stack]" in line or "[heap]" in line:
            yield [int(part, 16) for part in line.split()[0].split("-")]
{MEMORY_OF_OTHERS[way]}
found"""
        return victim.secret in (await target.run(code)).value


@attack(25, "traces a process outside")
async def test_trace(target: Target) -> bool:
    with watch.victim() as victim:
        async with target.session() as session:
            await session.run(f"libc.ptrace(0x4206, {victim.pid}, 0, 0)")  # PTRACE_SEIZE
            return victim.is_traced()


GOING_ON = {
    "as it is": "",
    "waking itself up": """
def wake():
    while True: works(os.kill, os.getpid(), signal.SIGCONT)
for _ in range(2): threading.Thread(target=wake, daemon=True).start()""",
    "with children that wake each other up": """
try:
    for _ in range(2):
        if os.fork() == 0:
            while True: works(os.kill, 0, signal.SIGCONT)
except OSError: pass""",
}


@pytest.mark.parametrize("way", GOING_ON)
@attack("+", "computes on after its cell, until its session is closed")
async def test_computing_after_cell(target: Target, way: str) -> bool:
    """On an isolating backend every process of the session is stopped, until the next cell."""
    async with target.session() as session:
        before = watch.descendants()
        worker = await worker_of(session)
        await session.run(f"""
done = 0
def compute():
    global done
    while True: done += 1
threading.Thread(target=compute, daemon=True).start()
try:
    if os.fork() == 0: compute()
except OSError: pass
{GOING_ON[way]}""")
        computing = {worker, *watch.descendants() - before}
        for _ in range(5):  # it may be a race
            if not await _stand_still(computing, watch.HANG_SECONDS if target.isolated else 1.0):
                return True
            goes_on = await session.run("before = done\nwhile done == before: time.sleep(0.01)")
            assert goes_on.status == "ok"
        return False


async def _stand_still(computing: set[int], seconds: float) -> bool:
    """Whether they come to do so, while the host goes on."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not all(watch.processes()[process].state == "T" for process in computing):
                await asyncio.sleep(0.05)
            return True
    return False
