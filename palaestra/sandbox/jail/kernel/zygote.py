"""The process that sessions are forked from: freshly executed, so that there is nothing in it to find.

It has one thread, no environment, no descriptors of the host's but its socket, and never sees a secret. The
host sends `Settings` first and is told what came of it, then one `Limits` with five descriptors for each
session: the supervisor's connection to the host, the channel, the pipe for answers, stdout and stderr. It
ends with the host.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
from contextlib import suppress

from palaestra.sandbox.jail.kernel import resources
from palaestra.sandbox.jail.kernel.credentials import leave_keyring
from palaestra.sandbox.jail.kernel.landlock_tier import LandlockTier
from palaestra.sandbox.jail.kernel.namespaces_tier import NamespacesTier
from palaestra.sandbox.jail.kernel.supervisor import Session, Work, supervise
from palaestra.sandbox.jail.kernel.tier import Limits, Settings, Tier, told

TIERS: dict[str, type[Tier]] = {"namespaces": NamespacesTier, "landlock": LandlockTier}
MESSAGE = 1 << 16
DESCRIPTORS = 5
LAST_SECONDS = 10.0
"""That sessions have at most to clean up when the host is gone; the end of the zygote kills them."""


def serve(descriptor: int, work: Work) -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    host = socket.socket(fileno=descriptor)
    hello = json.loads(host.recv(MESSAGE))
    for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)  # a supervisor reacts to nothing that a worker might send
    os.umask(0o022)
    os.chdir("/")
    resources.open_many_files()
    resources.make_threads_small()
    leave_keyring()
    try:
        alive = os.pidfd_open(hello["host"])
        if os.getppid() != hello["host"]:
            return  # it ended, and the number may be another process's
        tier = TIERS[hello["tier"]](Settings(*hello["settings"]))
        tier.enter()
        sys.path.extend(tier.settings.folders)
        gc.freeze()  # a collection in a fork would write to every page, and so copy it
        gc.enable()
    except OSError as error:
        host.send(told(error))
        return
    os.dup2(1, 2)  # what went wrong until here was the host's to read
    host.send(b"{}")
    _Zygote(host, alive, tier, work).fork_on_request()
    os._exit(0)


class _Zygote:
    def __init__(self, host: socket.socket, alive: int, tier: Tier, work: Work) -> None:
        self._host = host
        self._alive = alive
        """Readable when the host ended, even if a fork of it holds the other end of the socket."""
        self._tier = tier
        self._work = work
        self._supervisors: dict[int, int] = {}
        """By a descriptor that is readable when they ended."""

    def fork_on_request(self) -> None:
        poll = select.poll()
        poll.register(self._host, select.POLLIN)
        poll.register(self._alive, select.POLLIN)
        while True:
            readable = {descriptor for descriptor, _ in poll.poll()}
            for ended in readable & self._supervisors.keys():
                poll.unregister(ended)
                os.waitpid(self._supervisors.pop(ended), 0)
                os.close(ended)
            if self._alive in readable:
                break
            if self._host.fileno() in readable:
                message, descriptors, _, _ = socket.recv_fds(self._host, MESSAGE, DESCRIPTORS)
                if not message:
                    break
                if (supervisor := self._begin(message, descriptors)) is not None:
                    poll.register(supervisor, select.POLLIN)
        for ended, supervisor in self._supervisors.items():
            _wait_for(ended, LAST_SECONDS)
            os.waitpid(supervisor, os.WNOHANG)

    def _begin(self, message: bytes, descriptors: list[int]) -> int | None:
        try:
            if len(descriptors) < DESCRIPTORS:
                return None  # too many are open here; the host sees its ends closed
            control, channel, answers, stdout, stderr = descriptors
            limits = Limits(*json.loads(message))
            session = Session(limits, control, channel, answers, stdout, stderr, self._alive)
            supervisor = self._fork(session, self._work)
        except OSError as error:
            with suppress(OSError):  # the host has closed its end already
                os.write(descriptors[0], told(error))
            return None
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        ended = os.pidfd_open(supervisor)
        self._supervisors[ended] = supervisor
        return ended

    def _fork(self, session: Session, work: Work) -> int:
        supervisor = self._tier.fork()
        if supervisor == 0:
            supervise(self._tier, session, work)
        return supervisor


def _wait_for(process: int, seconds: float) -> None:
    poll = select.poll()
    poll.register(process, select.POLLIN)
    poll.poll(seconds * 1000)
