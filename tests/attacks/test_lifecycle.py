"""Beginning and end of sessions: what is left, and what one sees of another."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.attacks import watch
from tests.attacks.attack import TOOLS, Target, attack, worker_of

REPOSITORY = Path(__file__).parents[2]
HOST = """
import asyncio, sys
from palaestra.sandbox.base import CellLimits
from palaestra.sandbox.worker_sandbox import WorkerSandbox
from tests.attacks.backends import launcher

async def running(texts):
    print("running", flush=True)
    return texts

async def main():
    sandbox = WorkerSandbox(launcher(sys.argv[1]), CellLimits(), {"running": running})
    await sandbox.start()
    await sandbox.run(sys.argv[2])
    print("idle", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
DEAF = """
libc.prctl(1, 0, 0, 0, 0)  # no signal when the parent dies
libc.prctl(36, 1, 0, 0, 0)  # orphans are mine
for number in range(1, 65): works(signal.signal, number, signal.SIG_IGN)
"""
STAYERS = {
    "loops": "while True: pass",
    "waits for its next cell": "",
    "waits for something else": "os.read(os.pipe()[0], 1)",
    "ignores every signal": f"{DEAF}\nwhile True: pass",
    "closes every descriptor": "os.closerange(0, 4096)\nwhile True: pass",
}
LEAVERS = {
    "stops itself": "os.kill(os.getpid(), signal.SIGSTOP)",
    "leaves a child of another group behind": f"""
import subprocess
works(lambda: subprocess.Popen(["/bin/sleep", "999"], start_new_session=True, env={{}}))
try: child = os.fork() == 0
except OSError: child = False
if child:
    {DEAF.replace(chr(10), chr(10) + "    ")}
    os.setsid()
    libc.clearenv()
    os.execv("/bin/sleep", ["sleep", "999"])
while True: time.sleep(5)""",
}


@pytest.mark.parametrize("how", STAYERS)
@attack(61, "outlives its host, which is killed", on_unsafe="stopped")
async def test_killed_host(target: Target, how: str) -> bool:
    return await _outlives(target, STAYERS[how])


@pytest.mark.parametrize("how", LEAVERS)
@attack(61, "outlives its host, as an ordinary process can")
async def test_left_behind(target: Target, how: str) -> bool:
    return await _outlives(target, LEAVERS[how])


async def _outlives(target: Target, code: str) -> bool:
    """Whether anything of a session that runs `code` lives on when its host was killed."""

    def living(host: int) -> set[int | str]:
        return {*watch.descendants(), *(watch.containers(host) if target.backend == "docker" else ())}

    before: set[int | str] = {*watch.descendants()}
    words = [target.backend, f"{TOOLS}\nrunning('x')\n{code}"]
    # What stays on `unsafe` keeps its folder.
    places = os.environ if target.isolated else os.environ | {"TMPDIR": str(target.folder)}
    host = subprocess.Popen(
        [sys.executable, "-c", HOST, *words], stdout=subprocess.PIPE, cwd=REPOSITORY, env=places
    )
    assert host.stdout is not None
    with host.stdout:
        assert host.stdout.readline()
        assert living(host.pid) - before - {host.pid}
        await asyncio.sleep(0.5)  # until a session without a cell is stopped
        host.kill()
        host.wait()
    seconds = watch.HANG_SECONDS if target.isolated else 5.0  # as long as it takes to be sure that it stays
    gone = watch.eventually(lambda: not living(host.pid) - before, seconds)
    for left in watch.descendants() - before:
        os.kill(left, signal.SIGKILL)
    return not gone


@attack(62, "outlives a cell that is cancelled at any moment", on_unsafe="stopped")
async def test_cancelled(target: Target) -> bool:
    before = watch.descendants()
    moments = random.Random(62)

    async def whole_session() -> None:
        sandbox = target.new()
        try:
            await sandbox.start()
            await sandbox.run(TOOLS)
            await sandbox.put("text", "x" * 1_000_000)
            await sandbox.run("while True: pass")
        finally:
            await sandbox.close()

    for _ in range(20):
        session = asyncio.create_task(whole_session())
        await asyncio.sleep(moments.random() * 0.15)
        session.cancel()
        await asyncio.gather(session, return_exceptions=True)
    return not watch.eventually(lambda: not watch.descendants() - before)


@attack(62, "outlives a host that is interrupted from its terminal", on_unsafe="stopped")
async def test_interrupted(target: Target) -> bool:
    before = watch.descendants()
    host = subprocess.Popen(
        [sys.executable, "-c", HOST, target.backend, "running('x')\nwhile True: pass"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=REPOSITORY,
    )  # fmt: skip
    assert host.stdout is not None
    with host.stdout:
        assert host.stdout.readline()
        host.send_signal(signal.SIGINT)
        host.wait(timeout=watch.HANG_SECONDS)
    return not watch.eventually(
        lambda: (
            not watch.descendants() - before
            and not (target.backend == "docker" and watch.containers(host.pid))
        )
    )


@attack(64, "leaves dead children behind", on_unsafe="not tried")
async def test_zombies(target: Target) -> bool:
    async with target.session() as session:
        before = set(watch.processes())
        await session.run("""
for _ in range(20):
    try:
        if os.fork() == 0:
            works(os.fork)
            os._exit(0)
    except OSError:
        pass
while works(os.waitpid, -1, 0): pass
time.sleep(0.2)""")
        return any(
            process.state == "Z" and watch.is_below_us(process.pid)
            for process in watch.processes().values()
            if process.pid not in before
        )


@attack(65, "is one of 200 sessions at once, of which something stays", on_unsafe="not tried")
async def test_many_sessions(target: Target) -> bool:
    before, descriptors = watch.descendants(), len(watch.descriptors())

    async def one(number: int) -> str:
        sandbox = target.new(memory_mb=256)
        await sandbox.start()
        try:
            return (await sandbox.run(f"open('mine', 'w').write('{number}'); open('mine').read()")).value
        finally:
            await sandbox.close()

    count = 20 if target.backend == "docker" else 200
    values = await asyncio.gather(*map(one, range(count)))
    assert values == [repr(str(number)) for number in range(count)]
    await asyncio.sleep(0)
    left = watch.descendants() - before
    return bool(left) or len(watch.descriptors()) > descriptors


LOOKING = f"""
found, pattern = [], re.compile(rb"{watch.SECRET_PATTERN}")
for place in ["/proc", os.getcwd(), *PLACES]:
    for folder, folders, files in os.walk(place):
        if folder.count("/") > 4: folders.clear()
        for name in files:
            path = os.path.join(folder, name)
            try:
                if place != "/proc" or name in ("environ", "cmdline"):
                    found += pattern.findall(os.read(os.open(path, os.O_RDONLY | os.O_NONBLOCK), 1 << 16))
            except OSError: pass
found"""


@attack(66, "finds files or processes of another session")
async def test_other_session(target: Target) -> bool:
    async with target.session() as victim, target.session() as session:
        await victim.run(f"open('mine', 'w').write({target.secret!r})")
        return target.leaked(await session.run(f"PLACES = {_shared_places(target)}\n{LOOKING}"))


def _shared_places(target: Target) -> list[str]:
    """Where sessions might meet; without a sandbox, only below a folder of the test."""
    return ["..", "/tmp", "/var/tmp", "/dev/shm", "/scratch"] if target.isolated else [tempfile.gettempdir()]


@attack(66, "reads the memory of another session")
async def test_memory_of_another_session(target: Target) -> bool:
    async with target.session() as victim, target.session() as session:
        held = (await victim.run(f"held = {target.secret.encode()!r}\nid(held)")).value
        code = f"""
victim, start = {await worker_of(victim)}, {held}
found = []
try: found.append(os.pread(os.open(f"/proc/{{victim}}/mem", os.O_RDONLY), 200, start))
except OSError: pass
buffer = ctypes.create_string_buffer(200)
here, there = (struct.pack("=QQ", place, 200) for place in (ctypes.addressof(buffer), start))
libc.process_vm_readv(victim, here, 1, there, 1, 0)
found + [buffer.raw]"""
        return target.leaked(await session.run(code))


@attack(66, "kills another session")
async def test_kill_another_session(target: Target) -> bool:
    async with target.session() as victim, target.session() as session:
        worker = await worker_of(victim)
        await session.run(f"os.kill({worker}, signal.SIGKILL)")
        await asyncio.sleep(0.05)
        return not watch.is_running(worker)


@attack(66, "finds what an earlier session left behind")
async def test_earlier_session(target: Target) -> bool:
    places = _shared_places(target) if target.isolated else [str(target.folder)]
    async with target.session() as earlier:
        await earlier.run(f"""
for place in {places}:
    works(lambda: open(place + "/mine", "w").write({target.secret!r}))""")
    async with target.session() as later:
        return target.leaked(await later.run(f"PLACES = {places}\n{LOOKING}"))
