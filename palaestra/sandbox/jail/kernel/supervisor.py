"""The first process of a session, which the host trusts: it starts the worker, and ends with the host.

In the tier `namespaces` it is the first process of its process namespace, so that the kernel kills every
other one when it ends; a worker can neither kill it nor stop it. Its connection to the host carries one
message when the worker is locked up, or could not be, and one when the worker ended. Between cells the
host has it stop the worker. When the host closes the connection, or ends, it kills the worker and ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import NamedTuple, NoReturn

from palaestra.sandbox.jail.kernel.credentials import die_with_parent
from palaestra.sandbox.jail.kernel.libc import system_call
from palaestra.sandbox.jail.kernel.readable import standard_library
from palaestra.sandbox.jail.kernel.tier import Limits, Tier, obey, told

CHANNEL, ANSWERS, TROUBLE = 3, 4, 5
"""Descriptors of a worker beside the standard ones; the last until it is locked up."""
LOCKED = b"locked"
REAPED_AT_ONCE = 64
"""Orphans that are taken before the host is listened to again: a worker may make them without end."""


Work = Callable[[int, int], object]
"""What a worker does with its channel and its pipe for answers."""


class NotLocked(Exception):
    """A process could not be locked up."""


class Session(NamedTuple):
    limits: Limits
    control: int
    channel: int
    answers: int
    stdout: int
    stderr: int
    host: int
    """Readable when the host ended."""


def supervise(tier: Tier, session: Session, work: Work) -> NoReturn:
    """In a process that was made for it."""
    control = socket.socket(fileno=session.control)
    try:
        os.setsid()  # a signal to the process group stays within the session
        scratch = tier.furnish(session.limits)
        die_with_parent()
        _close_all_but(session[1:])
        ended, tell = os.pipe()
        os.set_blocking(tell, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
        worker = _start(tier, session, scratch, work)
        tier.give_up_rights()
        ready = json.dumps({"scratch": scratch, "cloudpickle": tier.cloudpickle})
        socket.send_fds(control, [ready.encode()], [os.pidfd_open(os.getpid())])
        if end := _wait(tier, session, worker, ended):
            control.send(json.dumps({"ended": end}).encode())
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)
    except (OSError, NotLocked) as error:
        with suppress(OSError):  # the host is gone
            control.send(told(error))
    finally:
        try:
            tier.clean_up()
        finally:
            os._exit(0)


def _close_all_but(kept: Iterable[int]) -> None:
    first = 3
    for descriptor in sorted(kept):
        if first < descriptor:
            system_call("close_range", first, descriptor - 1, 0)
        first = max(first, descriptor + 1)
    system_call("close_range", first, (1 << 31) - 1, 0)


def _start(tier: Tier, session: Session, scratch: str, work: Work) -> int:
    """Fork the worker, and wait until it is locked up, as long as the host does.

    Raises:
        NotLocked: it could not be, and has run nothing.
    """
    supervisor = os.getpid()
    trouble, tell = os.pipe()
    worker = os.fork()
    if worker == 0:
        try:
            _become_worker(tier, session, scratch, tell, supervisor)
            work(CHANNEL, ANSWERS)
        finally:
            os._exit(1)  # nothing of the supervisor's may run in this process
    for descriptor in (tell, session.channel, session.answers, session.stdout, session.stderr):
        if descriptor > 2:
            os.close(descriptor)
    poll = select.poll()
    for descriptor in (trouble, session.control, session.host):
        poll.register(descriptor, select.POLLIN)
    happened = [descriptor for descriptor, _ in poll.poll()]
    said = os.read(trouble, 1 << 12) if trouble in happened else b"the host gave up"
    os.close(trouble)
    if said != LOCKED:
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)
        raise NotLocked(said.decode() or "the worker ended before it was locked up; it may need more memory")
    return worker


def _become_worker(tier: Tier, session: Session, scratch: str, tell: int, supervisor: int) -> None:
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        wanted = (session.stdout, session.stderr, session.channel, session.answers, tell)
        apart = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 16) for descriptor in wanted]
        for place, descriptor in enumerate(apart, start=1):
            os.dup2(descriptor, place)
        system_call("close_range", TROUBLE + 1, (1 << 31) - 1, 0)
        os.chdir(scratch)
        os.environ.update(HOME=scratch, TMPDIR=scratch)
        tier.confine(session.limits, scratch)
        if os.getppid() != supervisor:
            raise NotLocked("the supervisor ended")
        _prove_locked()
    except (OSError, NotLocked) as error:
        os.write(TROUBLE, str(error).encode())
        os._exit(1)
    os.write(TROUBLE, LOCKED)
    os.close(TROUBLE)


def _prove_locked() -> None:
    """Try the door, and whether Python can still be used behind it.

    Raises:
        NotLocked, OSError
    """
    attempts: dict[str, Callable[[], object]] = {
        "open a socket": socket.socket,
        "read a file that its user may read": lambda: os.open("/proc/self/status", os.O_RDONLY),
        "write to the root": lambda: os.mkdir("/jail-is-open"),
        "change its root": lambda: os.chroot("/"),
    }
    for what, attempt in attempts.items():
        with suppress(OSError):
            attempt()
            raise NotLocked(f"the locked process could {what}")
    os.listdir(standard_library()[0])


def _wait(tier: Tier, session: Session, worker: int, ended: int) -> str:
    """How the worker ended, or was ended; empty when the host wants it to end. It is not reaped yet."""
    poll = select.poll()
    for descriptor in (session.control, session.host, ended):
        poll.register(descriptor, select.POLLIN)
    most = None if tier.seconds_between_watches is None else tier.seconds_between_watches * 1000
    timeout: float | None = 0
    while True:
        happened = [descriptor for descriptor, _ in poll.poll(timeout)]
        if session.host in happened or (session.control in happened and not obey(session.control, worker)):
            return ""
        if ended in happened:
            os.read(ended, 1 << 12)
        timeout = most
        for _ in range(REAPED_AT_ONCE):
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is None:
                break
            if found.si_pid == worker:
                if found.si_code == os.CLD_EXITED:
                    return f"ended itself with status {found.si_status}"
                return f"was killed by {_name(found.si_status)}"
            os.waitpid(found.si_pid, 0)  # an orphan
        else:
            timeout = 0
        if excess := tier.excess(worker, session.limits):
            return f"was killed: {excess}"


def _name(number: int) -> str:
    """Real-time signals have none."""
    return {each.value: each.name for each in signal.Signals}.get(number, f"signal {number}")
