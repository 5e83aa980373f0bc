"""The sandboxed process's end of the channel."""

from __future__ import annotations

import itertools
import os
import queue
import shutil
import signal
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence

from palaestra.sandbox.worker.wire import (
    MAX_BODY_FROM_SANDBOX,
    Frame,
    Kind,
    join_texts,
    pack,
    receive,
    split_texts,
)

GROUP_TEXTS = 1000
GROUP_CHARACTERS = MAX_BODY_FROM_SANDBOX // 4
"""What one CALL carries at most; a longer batch travels in several, under way together."""


class HostError(RuntimeError):
    """A host function failed, with the text that the host gives for it."""

    __module__ = "builtins"  # a traceback then names it without the worker's own module


class Host:
    """Sends frames, and hands those that arrive to whoever waits for them.

    A thread of its own listens, so that calls from several threads of a cell do not wait for each other,
    and so that the process ends with the host even while a cell is busy.
    """

    def __init__(self, channel: socket.socket) -> None:
        os.set_inheritable(channel.fileno(), False)
        self.requests: queue.Queue[Frame] = queue.Queue(maxsize=8)
        self.scratch: str | None = None
        """A folder to remove should the host vanish."""
        self._channel = channel
        self._process = os.getpid()
        self._sending = threading.Lock()
        self._cell: str | None = None
        self._numbers = itertools.count()
        self._waiting: dict[int, queue.SimpleQueue[Frame | None]] = {}
        threading.Thread(target=self._listen, name="palaestra-channel", daemon=True).start()

    def send(self, kind: Kind, header: Mapping[str, object], body: bytes = b"") -> None:
        with self._sending:
            self._channel.sendall(pack(kind, header, body))

    def begin(self, cell: str) -> None:
        """Calls belong to this cell until it is `done`."""
        self._cell = cell

    def done(self, header: Mapping[str, object], body: bytes) -> None:
        """Answer the operation under way. Calls that threads of the cell still wait for end with an error."""
        with self._sending:
            self._cell = None
            while self._waiting:
                self._waiting.popitem()[1].put(None)
            self._channel.sendall(pack(Kind.DONE, header, body))

    def call(self, function: str, texts: Sequence[str]) -> list[str]:
        """
        Raises:
            HostError: the host function failed, or no cell is running that may call it.
        """
        if os.getpid() != self._process:
            raise HostError(f"{function} cannot be called from a forked process")
        answers = [self._ask(function, group) for group in _groups(texts)]
        return [text for answer in answers for text in _read_answer(function, answer.get())]

    def _ask(self, function: str, texts: Sequence[str]) -> queue.SimpleQueue[Frame | None]:
        lengths, body = join_texts(texts)
        if len(body) > MAX_BODY_FROM_SANDBOX:
            raise HostError(f"{function} takes texts of at most {MAX_BODY_FROM_SANDBOX >> 20} MiB")
        answer: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()
        with self._sending:
            if self._cell is None:
                raise HostError(f"{function} was called after its cell had ended")
            number = next(self._numbers)
            self._waiting[number] = answer
            header = {"cell": self._cell, "call": number, "function": function, "lengths": lengths}
            self._channel.sendall(pack(Kind.CALL, header, body))
        return answer

    def _listen(self) -> None:
        try:
            while frame := receive(self._channel):
                if frame.kind is not Kind.REPLY:
                    self.requests.put(frame)
                elif answer := self._waiting.pop(frame.header["call"], None):
                    answer.put(frame)
        finally:
            self._end()

    def _end(self) -> None:
        """The host is gone: leave nothing behind, whatever a cell is doing."""
        if self.scratch is not None:
            shutil.rmtree(self.scratch, ignore_errors=True)
        if os.getpgrp() == self._process:
            os.killpg(self._process, signal.SIGKILL)
        os._exit(1)


def _groups(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    start, characters = 0, 0
    for index, text in enumerate(texts):
        characters += len(text)
        if index > start and (index - start == GROUP_TEXTS or characters > GROUP_CHARACTERS):
            yield texts[start:index]
            start, characters = index, len(text)
    if start < len(texts):
        yield texts[start:]


def _read_answer(function: str, frame: Frame | None) -> list[str]:
    if frame is None:
        raise HostError(f"the cell ended before {function} answered")
    if frame.header.get("error"):
        raise HostError(frame.body.decode(errors="replace"))
    return split_texts(frame.header["lengths"], frame.body)
