"""What a sandboxed process prints."""

from __future__ import annotations

import asyncio
import codecs
import os
import select
from typing import IO

from palaestra.sandbox.worker.excerpt import Excerpt

PIPE_CAPACITY = 1 << 20
"""Bytes that a pipe can hold (Linux's upper limit for ordinary users)."""


class OutputPipe:
    """Reads one output stream of a process as it comes, and keeps a bounded excerpt of it.

    It reads while it listens and when something is taken. Otherwise the process waits once the pipe is full:
    what outlives its cell cannot keep the host busy. Owns the stream. Needs a running event loop.
    """

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream = stream
        self._descriptor = stream.fileno()
        self._limit = limit
        self._excerpt = Excerpt(limit)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._listens = False
        os.set_blocking(self._descriptor, False)
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLIN)

    def listen(self) -> None:
        if self._stream.closed:
            return
        asyncio.get_running_loop().add_reader(self._descriptor, self._read)
        self._listens = True

    def rest(self) -> None:
        if self._listens:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            self._listens = False

    def take(self) -> tuple[str, bool]:
        """What came since the last time, and whether some of it was left out.

        Everything that was written before the call is in it. What a thread that outlives its cell writes
        meanwhile may be in it too, but cannot hold the host here.
        """
        taken = 0
        while taken < PIPE_CAPACITY and (count := self._read()):
            taken += count
        self._excerpt.add(self._decoder.decode(b"", final=True))
        if self._excerpt.is_empty:
            return "", False
        excerpt, self._excerpt = self._excerpt, Excerpt(self._limit)
        return excerpt.text(), excerpt.truncated

    def close(self) -> None:
        self.rest()
        self._stream.close()

    def _read(self) -> int:
        """Read what is there, 64 KiB at most; 0 when there is nothing, now or any more."""
        descriptor = self._stream.fileno()  # the number may be another stream's once this one is closed
        if not self._poll.poll(0):
            return 0  # at half the cost of a read that would block
        try:
            data = os.read(descriptor, 1 << 16)
        except BlockingIOError:  # the process has read from its own end meanwhile
            return 0
        if not data:
            self.rest()
        self._excerpt.add(self._decoder.decode(data))
        return len(data)
