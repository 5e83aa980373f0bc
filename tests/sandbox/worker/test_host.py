"""A worker hears of operations and of interrupts on different ways, in whatever order they arrive."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import pytest

from palaestra.sandbox.launcher import WORKER
from palaestra.sandbox.streams import connected
from palaestra.sandbox.worker.wire import Frame, Kind, pack, receive


class Conversation:
    """What a host says to a worker and hears from it."""

    def __init__(self, channel: socket.socket, answers: BinaryIO) -> None:
        self.channel = channel
        self.answers = answers
        self._stream = channel.makefile("rb")

    def hear(self) -> Frame | None:
        return receive(self._stream)

    def run(self, cell: str, code: str) -> Frame | None:
        self.channel.sendall(pack(Kind.EXEC, {"cell": cell}, code.encode()))
        return self.hear()

    def interrupt(self, cell: str) -> None:
        self.answers.write(pack(Kind.INTERRUPT, {"cell": cell}))


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Conversation]:
    with ExitStack() as theirs, ExitStack() as ours:
        streams, its_streams = connected(ours, theirs)
        ends = (its_streams.channel.fileno(), its_streams.answers.fileno())
        command = [sys.executable, "-I", str(WORKER), *map(str, ends)]
        process = subprocess.Popen(command, cwd=tmp_path, pass_fds=ends, start_new_session=True)
        theirs.close()
        conversation = Conversation(streams.channel, streams.answers)
        limits = {"memory_mb": 4096, "output_chars": 1000, "snapshot_mb": 1, "calls": 10}
        hello = {"functions": ["echo"], "scratch": str(tmp_path), "cloudpickle": "", **limits}
        streams.channel.sendall(pack(Kind.HELLO, hello))
        ready = conversation.hear()
        assert ready is not None
        assert ready.kind is Kind.READY
        yield conversation
        ours.close()
        process.wait()


def test_a_frame_that_cannot_be_read_whole_ends_the_worker(worker: Conversation) -> None:
    """What follows in it must not be taken for frames: it may be a text that looks like them."""
    ring = "def ring(*_): raise TimeoutError('in the middle')"
    timer = "signal.signal(signal.SIGALRM, ring); signal.setitimer(signal.ITIMER_REAL, 0.3, 0.3)"
    assert worker.run("first", f"import signal\n{ring}\n{timer}") is not None
    worker.channel.sendall(pack(Kind.LOAD, {"cell": "second", "name": "text", "long": False}))
    piece = pack(Kind.PIECE, {"last": True}, bytes(100))
    worker.channel.sendall(piece[:-50])
    assert worker.hear() is None


def settle(worker: Conversation, cell: str) -> None:
    """Wait until the worker has read what was written before: it answers in order."""
    call = worker.run(cell, "echo('x')")
    assert call is not None
    assert call.kind is Kind.CALL
    worker.answers.write(pack(Kind.REPLY, {"call": call.header["call"], "lengths": [1]}, b"y"))
    done = worker.hear()
    assert done is not None
    assert (done.header["status"], done.body) == ("ok", b"'y'")


def test_an_interrupt_that_arrives_before_its_cell_reaches_it(worker: Conversation) -> None:
    worker.interrupt("second")
    settle(worker, "first")
    done = worker.run("second", "reached = True")
    assert done is not None
    assert done.header["status"] == "interrupted"
    done = worker.run("third", "'reached' in globals()")
    assert done is not None
    assert (done.header["status"], done.body) == ("ok", b"False")


def test_an_interrupt_that_arrives_after_its_cell_reaches_no_other(worker: Conversation) -> None:
    settle(worker, "first")
    worker.interrupt("first")
    settle(worker, "second")
    done = worker.run("third", "1")
    assert done is not None
    assert (done.header["status"], done.body) == ("ok", b"1")


@pytest.mark.parametrize("way", ["channel", "answers"])
def test_a_worker_ends_when_either_way_to_it_is_closed(worker: Conversation, way: str) -> None:
    """At once, while it waits on this way."""
    if way == "channel":
        worker.channel.shutdown(socket.SHUT_WR)
    else:
        call = worker.run("first", "echo('x')")
        assert call is not None
        worker.answers.close()
    assert worker.hear() is None
