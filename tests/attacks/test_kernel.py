"""What the kernel offers to those who ask."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from tests.attacks import watch
from tests.attacks.attack import OnUnsafe, Target, attack, worker_of

ROOT = os.geteuid() == 0
AS_ROOT: OnUnsafe = "gets through" if ROOT else "stopped"
"""What an ordinary user may not do anyway."""


@attack("+", "lets itself be traced and dumped, into a program that the kernel runs", on_unsafe="not tried")
async def test_dumpable(target: Target) -> bool:
    async with target.session() as session:
        worker = await worker_of(session)
        await session.run("libc.prctl(4, 1, 0, 0, 0), libc.prctl(0x59616D61, -1, 0, 0, 0)")
        return os.stat(f"/proc/{worker}/environ").st_uid == int(watch.status(worker, "Uid").split()[0])


@attack(26, "leaves its namespaces", on_unsafe=AS_ROOT)
async def test_namespaces(target: Target) -> bool:
    async with target.session() as session:
        worker = await worker_of(session)
        before = watch.world_of(worker)
        await session.run("""
for flag in (0x10000000, 0x20000000, 0x40000000, 0x04000000, 0x08000000, 0x02000000, 0x00020000):
    libc.unshare(flag)
for name in ("user", "net", "ipc", "uts", "mnt", "pid"):
    try: libc.setns(os.open(f"/proc/1/ns/{name}", os.O_RDONLY), 0)
    except OSError: pass""")
        return watch.is_running(worker) and watch.world_of(worker) != before


@attack(27, "mounts something or moves its root", on_unsafe="not tried")
async def test_mounts(target: Target) -> bool:
    async with target.session() as session:
        worker = await worker_of(session)
        before = watch.world_of(worker)
        done = await session.run("""
works(os.mkdir, "below")
number = libc.syscall
tried = {
    "mount": libc.mount(b"tmpfs", b".", b"tmpfs", 0, None),
    "bind": libc.mount(b"/", b"below", None, 4096, None),
    "remount": libc.mount(None, b"/", None, 4096 | 32, None),
    "umount": libc.umount2(b"/proc", 2),
    "pivot_root": number(155 if os.uname().machine == "x86_64" else 41, b".", b"below"),
    "open_tree": number(428, -100, b"/", 1),
    "fsopen": number(430, b"tmpfs", 0),
    "fspick": number(433, -100, b"/", 0),
    "chroot": libc.chroot(b"."),
}
[name for name, outcome in tried.items() if outcome != -1]""")
        return done.value != "[]" or watch.world_of(worker) != before


SETTINGS = (
    "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hostname",
    "/proc/sys/vm/overcommit_memory", "/proc/sys/fs/binfmt_misc/register", "/proc/sysrq-trigger",
    "/proc/1/oom_score_adj", "/sys/kernel/uevent_helper", "/sys/fs/cgroup/release_agent",
    "/sys/kernel/mm/ksm/run", "/proc/irq/default_smp_affinity",
)  # fmt: skip


@attack(28, "opens a setting of the kernel for writing", on_unsafe=AS_ROOT)
async def test_settings(target: Target) -> bool:
    # Opening is proof enough, so that nothing is ever written there.
    code = f"print([path for path in {SETTINGS} if works(os.open, path, os.O_WRONLY)])"
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    printed = (await target.run(code)).stdout
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before
    return "/" in printed


CALLS = {
    "keys": {
        "keyctl": (250, 219, "99"),
        "add_key": (248, 217, "None, None, None, 0, 0"),
        "request_key": (249, 218, "None, None, None, 0"),
    },
    "other processes": {
        "ptrace": (101, 117, "99, 0, 0, 0"),
        "process_vm_readv": (310, 270, "0, None, 0, None, 0, 0"),
        "process_vm_writev": (311, 271, "0, None, 0, None, 0, 0"),
        "kcmp": (312, 272, "0, 0, 99, 0, 0"),
        "pidfd_getfd": (438, 438, "-1, 0, 0"),
        "process_madvise": (440, 440, "-1, None, 0, 0, 0"),
    },
    "a wide surface": {
        "bpf": (321, 280, "0, None, 0"),
        "perf_event_open": (298, 241, "None, 0, -1, -1, 0"),
        "userfaultfd": (323, 282, "1"),
        "io_uring_setup": (425, 425, "0, None"),
        "io_uring_enter": (426, 426, "-1, 0, 0, 0, None, 0"),
        "fanotify_init": (300, 262, "0, 0"),
    },
    "memory and messages that no limit counts": {
        "memfd_create": (319, 279, "b'x', 0"),
        "memfd_secret": (447, 447, "0"),
        "shmget": (29, 194, "0x7EADBEEF, 4096, 0"),
        "msgget": (68, 186, "0x7EADBEEF, 0"),
        "semget": (64, 190, "0x7EADBEEF, 1, 0"),
        "mq_open": (240, 180, "None, 0, 0, None"),
    },
    "files by handle": {
        "open_by_handle_at": (304, 265, "-1, None, 0"),
        "name_to_handle_at": (303, 264, "-100, None, None, None, 0"),
    },
    "namespaces and mounts": {
        "unshare": (272, 97, "0"),
        "setns": (308, 268, "-1, 0"),
        "clone3": (435, 435, "None, 0"),
        "mount": (165, 40, "None, None, None, 0, None"),
        "umount2": (166, 39, "None, 0"),
        "move_mount": (429, 429, "-1, None, -1, None, 0"),
        "fsmount": (432, 432, "-1, 0, 0"),
        "mount_setattr": (442, 442, "-1, None, 0, None, 0"),
    },
    "modules, clocks and power": {
        "init_module": (175, 105, "None, 0, None"),
        "finit_module": (313, 273, "-1, None, 0"),
        "delete_module": (176, 106, "None, 0"),
        "kexec_load": (246, 104, "0, 99, None, 1 << 20"),
        "reboot": (169, 142, "0, 0, 0, None"),
        "swapon": (167, 224, "None, 0"),
        "acct": (163, 89, "b'/nothing'"),
        "clock_settime": (227, 112, "99, None"),
        "clock_adjtime": (305, 266, "99, None"),
        "syslog": (103, 116, "3, None, 0"),
        "quotactl": (179, 60, "0, None, 0, None"),
        "sethostname": (170, 161, "None, -1"),
        "sched_setscheduler": (144, 119, "0, 99, None"),
    },
}
"""System calls that no cell needs: number on x86_64, on aarch64, and arguments with which nothing is done."""


@pytest.mark.parametrize("group", CALLS)
@attack(29, "reaches system calls that no cell needs")
async def test_system_calls(target: Target, group: str) -> bool:
    column = ("x86_64", "aarch64").index(platform.machine())
    tried = "\n".join(
        f"outcome = libc.syscall({row[column]}, {row[2]})\n"
        f"if outcome != -1 or ctypes.get_errno() not in denied: print({name!r})"
        for name, row in CALLS[group].items()
    )
    result = await target.run(f"denied = (errno.EPERM, errno.ENOSYS, errno.EACCES)\n{tried}")
    print(*result.stdout.split())
    return bool(result.stdout)


OTHER_DOORS = {
    "the 32-bit gate": "b'\\x53\\xb8\\x67\\x01\\x00\\x00\\xbb\\x02\\x00\\x00\\x00\\xb9\\x01\\x00\\x00\\x00"
    # push rbx; eax=359 (socket), ebx=2, ecx=1, edx=0; int 0x80; pop rbx; ret
    "\\x31\\xd2\\xcd\\x80\\x5b\\xc3'",
    "the x32 gate": "b'\\xb8\\x29\\x00\\x00\\x40\\xbf\\x02\\x00\\x00\\x00\\xbe\\x01\\x00\\x00\\x00"
    # eax=0x40000029 (socket), edi=2, esi=1, edx=0; syscall; ret
    "\\x31\\xd2\\x0f\\x05\\xc3'",
}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="machine code of x86_64")
@pytest.mark.parametrize("door", OTHER_DOORS)
@attack(18, "opens a socket through another entry of the kernel", on_unsafe="not tried")
async def test_other_doors(target: Target, door: str) -> bool:
    code = f"""
import mmap
area = mmap.mmap(-1, 4096, prot=7)
area.write({OTHER_DOORS[door]})
enter = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(area)))
outcome = enter()
print("breach" if outcome >= 0 or outcome in (-22, -97) else outcome)"""
    return "breach" in (await target.run(code)).stdout


@attack(33, "becomes root or gains a capability", on_unsafe="not tried")
async def test_credentials(target: Target) -> bool:
    async with target.session() as session:
        worker = await worker_of(session)
        fields = ("Uid", "Gid", "Groups", "CapEff", "CapPrm", "CapInh", "CapAmb", "NoNewPrivs", "Seccomp")
        before = [watch.status(worker, field) for field in fields]
        await session.run("""
for change, wanted in ((os.setuid, 0), (os.setgid, 0), (os.setgroups, [0])):
    works(change, wanted)
works(os.setresuid, 0, 0, 0), works(os.setreuid, 0, 0), works(os.setresgid, 0, 0, 0)
libc.prctl(38, 0, 0, 0, 0)  # no_new_privs off
libc.prctl(22, 0, 0)  # seccomp off
libc.prctl(8, 1)  # keep capabilities
libc.capset(struct.pack("=II", 0x20080522, 0), struct.pack("=6I", *[0xFFFFFFFF] * 6))
libc.prctl(47, 2, 21, 0, 0)  # raise an ambient capability""")
        return not watch.is_running(worker) or [watch.status(worker, field) for field in fields] != before


@attack(33, "raises its own limits", on_unsafe="not tried")
async def test_limits(target: Target) -> bool:
    async with target.session() as session:
        worker = await worker_of(session)
        before = Path(f"/proc/{worker}/limits").read_text()
        await session.run("""
import resource
for limit in range(16):
    hard = resource.getrlimit(limit)[1]
    if hard != -1:
        works(resource.setrlimit, limit, (hard, hard + 1))
        works(resource.setrlimit, limit, (hard, -1))
""")
        changed = Path(f"/proc/{worker}/limits").read_text() if watch.is_running(worker) else before
        return _hard_limits(changed) != _hard_limits(before)


def _hard_limits(table: str) -> list[str]:
    return [line[47:68].strip() for line in table.splitlines()]


@attack(31, "types on the terminal of the host", on_unsafe="stopped")
async def test_terminal(target: Target) -> bool:
    master, slave = os.openpty()
    try:
        name = os.ttyname(slave)
        os.chmod(name, 0o666)
        result = await target.run("""
import fcntl, termios
for path in ("/dev/tty", "/proc/self/fd/0"):
    for request in (termios.TIOCSTI, 0x541C):
        try: print("typed", fcntl.ioctl(os.open(path, os.O_RDWR), request, b"x"))
        except OSError: pass""")
        os.set_blocking(master, False)
        return "typed" in result.stdout or watch.was_reached(master)
    finally:
        os.close(master)
        os.close(slave)
