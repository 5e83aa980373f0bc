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
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from palaestra.sandbox import owners
from palaestra.sandbox.jail.kernel.system_calls import ARCHITECTURES
from palaestra.sandbox.jail.kernel.tier import Limits, Settings

KERNEL = Path(__file__).parent / "kernel" / "__main__.py"
SCRATCHES = "palaestra-jail-"
"""Begins the names of scratch folders that are real ones."""
MESSAGE = 1 << 16
FIRST_ENDED = "its first process ended without a word"
START_SECONDS = 30.0
"""Elapsed time that a zygote may take until it is ready; it takes a tenth of a second."""
SEND_SECONDS = 10.0
"""Elapsed time that descriptors may wait because too many of the user's are under way."""


TRIAL = Limits(memory=1 << 30, processes=8, disk=1 << 20)


class CannotIsolate(Exception):
    """This machine does not give what a tier needs; says what is missing."""


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
            CannotIsolate
        """
        with self._starting:
            if not self.is_running():
                self._process = self._start()

    def fork(self, limits: Limits, descriptors: Sequence[int]) -> None:
        """Ask for a session; its supervisor answers on the first of the descriptors.

        Raises:
            CannotIsolate
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
            CannotIsolate: and the process has ended.
        """
        control, its_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        channel, its_channel = socket.socketpair()
        with control, its_control, channel, its_channel, open(os.devnull, "wb") as nowhere:
            self.fork(TRIAL, [end.fileno() for end in (its_control, its_channel, nowhere, nowhere)])
            its_control.close()
            control.settimeout(START_SECONDS)
            try:
                answer = json.loads(control.recv(MESSAGE) or b"{}")
            except OSError as error:
                raise CannotIsolate(f"a first session does not answer ({error.strerror})") from error
        if "scratch" not in answer:
            self.close()
            raise CannotIsolate(answer.get("error", FIRST_ENDED))

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
        except (FileNotFoundError, PermissionError) as error:
            ours.close()
            raise CannotIsolate(f"{self._python} cannot be executed ({error.strerror})") from error
        finally:
            theirs.close()
        scratches = os.path.join(tempfile.gettempdir(), owners.folder_prefix(SCRATCHES))
        settings = self._settings._replace(scratches=scratches)
        hello = {"tier": self.tier, "host": os.getpid(), "settings": settings}
        try:
            ours.settimeout(START_SECONDS)
            ours.send(json.dumps(hello).encode())
            owners.sweep_folders(SCRATCHES)
            answer = ours.recv(MESSAGE)
        except OSError as error:
            answer = json.dumps({"error": f"its first process does not answer ({error.strerror})"}).encode()
        problem = (
            "the process that sessions are forked from ended"
            if not answer
            else json.loads(answer).get("error", "")
        )
        assert popen.stderr is not None
        if not problem:
            popen.stderr.close()
            ours.settimeout(None)
            return _Process(popen, ours, os.getpid())
        ours.close()
        popen.kill()
        with popen.stderr:
            said = popen.stderr.read().decode(errors="replace").strip()
        popen.wait()
        raise CannotIsolate(f"{problem} {said.splitlines()[-1] if said else ''}".strip())
