"""What connects the host with a worker."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from typing import BinaryIO, NamedTuple


class Streams(NamedTuple):
    """One side of all of them; the worker's side are the other ends."""

    channel: socket.socket
    """A connected stream socket."""
    answers: BinaryIO
    """The end, for the host the write end, of a pipe for what goes to a worker that is busy."""
    stdout: BinaryIO
    """The end, for the host the read end, of a pipe; end of file when every process of the session ended."""
    stderr: BinaryIO


def connected(host: ExitStack, worker: ExitStack) -> tuple[Streams, Streams]:
    """Both sides, which these own."""
    channel, its_channel = socket.socketpair()
    host.enter_context(channel)
    worker.enter_context(its_channel)
    its_answers, answers = _pipe(worker, host)
    stdout, its_stdout = _pipe(host, worker)
    stderr, its_stderr = _pipe(host, worker)
    return Streams(channel, answers, stdout, stderr), Streams(
        its_channel, its_answers, its_stdout, its_stderr
    )


def _pipe(reader: ExitStack, writer: ExitStack) -> tuple[BinaryIO, BinaryIO]:
    ends = os.pipe()
    return (
        reader.enter_context(open(ends[0], "rb", buffering=0)),
        writer.enter_context(open(ends[1], "wb", buffering=0)),
    )
