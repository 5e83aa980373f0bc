"""Files and secrets of the host."""

from __future__ import annotations

import os
import stat
import sys
import sysconfig
from pathlib import Path

import pytest

import palaestra
from tests.attacks import watch
from tests.attacks.attack import Target, attack

REPOSITORY = Path(__file__).parents[2]


@attack(1, "reads a file of the user")
async def test_read(target: Target) -> bool:
    return target.leaked(await target.run(f"open({str(target.canary)!r}).read()"))


@attack(1, "reads a file by way of /proc/self/root, cwd and openat")
async def test_read_sideways(target: Target) -> bool:
    code = f"""
found, canary = [], {str(target.canary)!r}
for start in ("/proc/self/root", "/proc/self/cwd/../../../../..", "/proc/1/root", "."):
    for path in (start + canary, start + "/../" * 20 + canary):
        try: found.append(open(path).read())
        except OSError: pass
for path in ("/", ".", "/proc/self/fd/0"):
    try: found.append(os.read(os.open("../" * 20 + canary[1:], 0, dir_fd=os.open(path, 0)), 99))
    except OSError: pass
found"""
    return target.leaked(await target.run(code))


@attack(1, "executes a file to have it read aloud in an error")
async def test_read_as_source(target: Target) -> bool:
    target.canary.write_text(f"{target.secret!r} {target.secret!r} 1")
    code = f"""
import importlib.util, linecache
lines = linecache.getlines({str(target.canary)!r})
specification = importlib.util.spec_from_file_location("canary", {str(target.canary)!r})
lines"""
    return target.leaked(await target.run(code))


@attack(1, "reads the accounts, the home folder and the checkout of the host")
async def test_read_the_machine(target: Target) -> bool:
    accounts, project = Path("/etc/passwd").read_text(), (REPOSITORY / "pyproject.toml").read_text()
    home = {path.name for path in Path.home().iterdir()} - {*Path(sys.base_prefix).parts}
    code = f"""
def read(path):
    try: return open(path).read()
    except OSError: return ""
def names(path):
    try: return os.listdir(path)
    except OSError: return []
print(read("/etc/passwd") + read("{REPOSITORY}/pyproject.toml"))
print(*names({str(Path.home())!r}), sep="\\n")"""
    printed = (await target.run(code)).stdout
    return accounts in printed or project in printed or bool(home & set(printed.split("\n")))


@attack(2, "finds a variable of the host's environment in its own", on_unsafe="stopped")
async def test_environment(target: Target, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setenv("API_KEY", target.secret)
    code = """
def own():
    try: return open("/proc/self/environ").read()
    except OSError: return ""
dict(os.environ), own(), ctypes.string_at(ctypes.c_void_p.in_dll(libc, "environ").value, 8)"""
    return target.leaked(await target.run(code))


@attack(3, "finds a secret in the environment of another process")
async def test_environment_of_others(target: Target) -> bool:
    code = f"""
import glob
found = []
for path in glob.glob("/proc/*/environ") + ["/proc/1/environ", f"/proc/{{os.getppid()}}/environ"]:
    try: found += re.findall(rb"{watch.SECRET_PATTERN}", open(path, "rb").read())
    except OSError: pass
found"""
    with watch.victim() as victim:
        return victim.secret in (await target.run(code)).value


@attack(4, "finds a secret that the host holds in its memory in its own", on_unsafe="stopped")
async def test_inherited_memory(target: Target, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setenv("API_KEY", target.secret)
    held = [f"{target.secret} in a variable" for _ in range(1000)]
    result = await target.run(SCAN, seconds=30)
    assert result.status == "ok", result
    assert "found itself" in result.stdout
    return len(held) == 1000 and target.leaked(result)


SCAN = f"""
import threading
# A write from an address that is not mapped fails with EFAULT, so memory can be felt out page by page.
reader, writer = os.pipe()
def page(address):
    if libc.write(writer, ctypes.c_void_p(address), 4096) != 4096:
        return None
    return os.read(reader, 4096)

def around(address, step, most=40_000):
    address -= address % 4096
    for _ in range(most):
        content = page(address)
        if content is None:
            return
        yield content
        address += step

own = b"canary" + b"-" + b"e" * 31 + b"f"
starts = [id(own), id([]), id(object()), id(os), id(sys.modules), ctypes.addressof(ctypes.c_char_p(b"x"))]
starts += [ctypes.cast(libc.getenv, ctypes.c_void_p).value]
starts += [ctypes.c_void_p.in_dll(libc, "environ").value or id(own)]
try:
    starts += [int(line.split("-")[0], 16) for line in open("/proc/self/maps")]
except OSError:
    pass
found = set()
for start in starts:
    for step in (4096, -4096):
        before = b""
        for content in around(start, step):
            found.update(re.findall(rb"{watch.SECRET_PATTERN}", content))
if own in found:
    print("found itself")
found"""


@attack(5, "writes to a descriptor that the host holds open", on_unsafe="stopped")
async def test_inherited_descriptors(target: Target) -> bool:
    reader, writer = os.pipe()
    opened = os.open(target.canary, os.O_RDWR)
    for descriptor in (writer, opened):
        os.set_inheritable(descriptor, True)
    os.set_blocking(reader, False)
    code = """
for number in range(3, 4096):
    if works(os.fstat, number) and not __import__("stat").S_ISSOCK(os.fstat(number).st_mode):
        works(os.write, number, b"breach")"""
    try:
        await target.run(code)
        return watch.was_reached(reader) or target.canary.read_text() != target.secret
    finally:
        for descriptor in (reader, writer, opened):
            os.close(descriptor)


PLACES = {
    "site-packages": Path(sysconfig.get_path("purelib")),
    "the standard library": Path(sysconfig.get_path("stdlib")),
    "the worker's own folder": Path(palaestra.__file__).parent / "sandbox" / "worker",
}


@pytest.mark.parametrize("place", PLACES)
@attack(
    6,
    "leaves a module for the next session to import",
    on_unsafe="gets through" if all(os.access(place, os.W_OK) for place in PLACES.values()) else "not tried",
)
async def test_poison(target: Target, place: str) -> bool:
    planted = PLACES[place] / "planted_by_the_attack_suite.py"
    code = f"open({str(planted)!r}, 'w').write('breach')"
    try:
        await target.run(code)
        return planted.exists()
    finally:
        planted.unlink(missing_ok=True)


CHANGES = {
    "written": 'open(path, "r+").write("breach")',
    "appended to": 'open(path, "a").write("breach")',
    "truncated": "os.truncate(path, 0)",
    "removed": "os.remove(path)",
    "replaced": 'os.rename(path, path + ".moved")',
    "made executable for all": "os.chmod(path, 0o7777)",
    "given other times": "os.utime(path, (0, 0))",
    "given an attribute": 'os.setxattr(path, "user.breach", b"1")',
    "linked": 'os.link(path, path + ".link")',
    "linked into the scratch folder": 'os.link(path, "link")',
    "joined by another": 'open(path + ".new", "w").write("breach")',
    "joined by a folder": 'os.mkdir(path + ".new")',
    "joined by a symbolic link": 'os.symlink("/", path + ".new")',
} | ({"given another owner": "os.chown(path, 12345, 12345)"} if os.geteuid() == 0 else {})


@pytest.mark.parametrize("change", CHANGES)
@attack(1, "changes a file of the user or its surroundings")
async def test_change(target: Target, change: str) -> bool:
    canary = target.canary
    before = _look(canary)
    async with target.session() as session:
        await session.run(f"path = {str(canary)!r}\n{CHANGES[change]}")
        return _look(canary) != before


def _look(canary: Path) -> object:
    """Everything that the host can tell about a file and its folder, but for when it was last read."""
    if not canary.exists():
        return None
    seen = canary.stat()
    names = sorted(os.listdir(canary.parent))
    told = (seen.st_mode, seen.st_uid, seen.st_nlink, seen.st_mtime_ns, seen.st_size, os.listxattr(canary))
    return canary.read_text(), names, told


@attack("+", "watches what happens in a folder of the host")
async def test_watch(target: Target) -> bool:
    async with target.session() as session:
        code = f"""
watching = libc.inotify_init1(os.O_NONBLOCK)
libc.inotify_add_watch(watching, {str(target.folder).encode()!r}, 0x100)  # IN_CREATE"""
        await session.run(code)
        target.canary.touch()
        return "canary" in (await session.run("os.read(watching, 4096) if watching > 0 else 0")).value


@attack("+", "learns the name of the host", known={"jail-landlock": "names are those of the host"})
async def test_host_name(target: Target) -> bool:
    return (await target.run("os.uname().nodename")).value == repr(os.uname().nodename)


@attack(
    7,
    "learns whether a file of the host exists, and its size",
    known={"jail-landlock": "Landlock does not govern stat"},
)
async def test_metadata(target: Target) -> bool:
    target.canary.write_text("x" * 31_337)
    return (await target.run(f"os.stat({str(target.canary)!r}).st_size")).value == "31337"


@attack(9, "has the host follow a symbolic link when it removes the scratch folder", on_unsafe="stopped")
async def test_link_in_scratch(target: Target) -> bool:
    target.canary.touch()
    code = f'os.symlink({str(target.folder)!r}, "folder"); os.symlink({str(target.canary)!r}, "file")'
    await target.run(code)
    return not target.canary.exists()


@attack(9, "makes a scratch folder that cannot be removed", on_unsafe="not tried")
async def test_stubborn_scratch(target: Target) -> bool:
    code = """
for name in ("locked", "x" * 255, "\\n", "\\udcff", "-rf"):
    works(os.mkdir, name)
    works(lambda: open(f"{name}/file", "w"))
works(os.mkfifo, "fifo")
works(lambda: socket.socket(socket.AF_UNIX).bind("socket"))
folder = os.getcwd()
for _ in range(300):
    works(os.mkdir, "deeper"), works(os.chdir, "deeper")
os.chdir(folder)
works(os.chmod, "locked", 0)
works(os.chmod, ".", 0)"""
    await target.run(code)
    return False  # that the folder is gone is seen after every attack


@attack(13, "learns from its mounts where the host keeps its files")
async def test_mounts(target: Target) -> bool:
    code = 'open("/proc/self/mountinfo").read()'
    shown = (await target.run(f"print({code})", output_chars=100_000)).stdout
    return any(line.split()[4] in shown for line in watch.mounts() if len(line.split()[4]) > 12)


@attack(30, "opens a device of the machine, or makes one")
async def test_devices(target: Target) -> bool:
    devices = [path for path in Path("/dev").iterdir() if stat.S_ISBLK(path.stat().st_mode)]
    memory = os.makedev(1, 1)
    code = f"""
paths = {list(map(str, devices))!r} + [
    "/dev/mem", "/dev/kmsg", "/dev/kvm", "/dev/fuse", "/dev/net/tun", "/dev/ptmx", "/dev/tty"]
print("opened" if any(works(os.open, path, os.O_RDONLY | os.O_NONBLOCK) for path in paths) else "")
print("made" if works(os.mknod, "memory", 0o600 | {stat.S_IFCHR}, {memory}) else "")"""
    printed = (await target.run(code)).stdout
    return "opened" in printed or "made" in printed
