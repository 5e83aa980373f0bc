"""The host's side of the process that sessions are forked from."""

from __future__ import annotations

import errno
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from palaestra.sandbox import owners
from palaestra.sandbox.jail.kernel.system_calls import ARCHITECTURES
from palaestra.sandbox.jail.kernel.tier import Limits, Settings

KERNEL = Path(__file__).parent / "kernel" / "__main__.py"
SCRATCHES = "palaestra-jail-"
"""Begins the names of scratch folders that are real ones."""
MESSAGE = 1 << 16
ENDED = b'{"error": "the process that sessions are forked from ended"}'
START_SECONDS = 30.0
"""Elapsed time that a zygote may take until it is ready, and then each session; they take tenths of one."""
SEND_SECONDS = 10.0
"""Elapsed time that descriptors may wait because too many of the user's are under way."""
SHORTAGES = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
"""Failures that say nothing about what a machine gives when it is not busy."""
TRIAL = Limits(memory=1 << 30, processes=8, disk=1 << 20)


class CannotIsolate(Exception):
    """This machine does not give what a tier needs; says what is missing."""


def failure(message: Mapping[str, Any]) -> CannotIsolate | OSError:
    """What it means that a process of the jail said `message`, and nothing more."""
    if (number := message.get("errno")) in SHORTAGES:
        return OSError(number, os.strerror(number))
    return CannotIsolate(message.get("error", "its first process ended without a word"))


class _Process(NamedTuple):
    popen: subprocess.Popen[bytes]
    socket: socket.socket
    owner: int
    """The process that started it. A fork of that one has to start its own."""


class Zygote:
    """Starts the process of a tier when it is wanted first, and again after it ended. For any thread."""

    def __init__(self, python: str, tier: str, settings: Settings) -> None:
        self.tier = tier
        self._python = python
        self._settings = settings
        self._process: _Process | None = None
        self._starting = threading.Lock()

    def is_running(self) -> bool:
        process = self._process
        return process is not None and process.owner == os.getpid() and process.popen.poll() is None

    def start(self) -> None:
        """
        Raises:
            CannotIsolate, OSError
        """
        with self._starting:
            if not self.is_running():
                self._process = self._start()

    def fork(self, limits: Limits, descriptors: Sequence[int]) -> None:
        """Ask for a session; its supervisor answers on the first of the descriptors.

        Raises:
            CannotIsolate, OSError
        """
        request = [json.dumps(limits).encode()]
        deadline = time.monotonic() + SEND_SECONDS
        while True:
            self.start()
            assert self._process is not None
            try:
                socket.send_fds(self._process.socket, request, descriptors)
            except (BrokenPipeError, ConnectionError):
                self._process.popen.wait()  # it is ending, and another one is started
            except OSError as error:
                if error.errno != errno.ETOOMANYREFS or time.monotonic() > deadline:
                    raise
                time.sleep(0.001)
            else:
                return

    def try_out(self) -> None:
        """Start a whole session that does nothing, on which whatever is missing is missed.

        Raises:
            CannotIsolate, OSError
        """
        control, its_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        channel, its_channel = socket.socketpair()
        with control, its_control, channel, its_channel, open(os.devnull, "r+b") as nowhere:
            ends = (its_control, its_channel, nowhere, nowhere, nowhere)
            self.fork(TRIAL, [end.fileno() for end in ends])
            its_control.close()
            control.settimeout(START_SECONDS)
            answer = json.loads(control.recv(MESSAGE) or b"{}")
        if "scratch" not in answer:
            raise failure(answer)

    def close(self) -> None:
        """End the process, and all of its sessions with it."""
        if self._process is not None:
            self._process.socket.close()
            self._process.popen.wait()

    def _start(self) -> _Process:
        if sys.platform != "linux" or platform.machine() not in ARCHITECTURES:
            raise CannotIsolate(f"this is not Linux on {' or '.join(ARCHITECTURES)}")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            popen = subprocess.Popen(
                [self._python, "-I", "-S", "-X", "utf8", KERNEL, str(theirs.fileno())],
                env={},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            if isinstance(error, FileNotFoundError | PermissionError):
                raise CannotIsolate(f"{self._python} cannot be executed ({error.strerror})") from error
            raise
        finally:
            theirs.close()
        scratches = os.path.join(tempfile.gettempdir(), owners.folder_prefix(SCRATCHES))
        settings = self._settings._replace(scratches=scratches)
        hello = {"tier": self.tier, "host": os.getpid(), "settings": settings}
        try:
            ours.settimeout(START_SECONDS)
            ours.send(json.dumps(hello).encode())
            owners.sweep_folders(SCRATCHES)
            answer = json.loads(ours.recv(MESSAGE) or ENDED)
        except OSError as error:
            number = errno.EAGAIN if isinstance(error, TimeoutError) else error.errno
            answer = {"error": f"its first process does not answer ({error})", "errno": number}
        assert popen.stderr is not None
        if not answer:
            popen.stderr.close()
            ours.settimeout(None)
            return _Process(popen, ours, os.getpid())
        ours.close()
        popen.kill()
        with popen.stderr:
            said = popen.stderr.read().decode(errors="replace").strip()
        popen.wait()
        if said:
            answer["error"] += f" {said.splitlines()[-1]}"
        raise failure(answer)
