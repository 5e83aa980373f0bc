"""The sandboxed process's ends of the channel and of the pipe for answers."""

from __future__ import annotations

import io
import itertools
import os
import queue
import signal
import socket
import threading
from _signal import signal as set_handler  # type: ignore[import-not-found]
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import FrameType
from typing import NoReturn, TypeVar

from palaestra.sandbox.worker.wire import (
    MAX_BODY_FROM_SANDBOX,
    MAX_TEXTS,
    Frame,
    Kind,
    join_texts,
    pack,
    receive,
    split_texts,
)

WITH_PIECES = (Kind.LOAD, Kind.FILE, Kind.RESTORE)
"""Operations whose data follow in PIECEs."""
GROUP_CHARACTERS = MAX_BODY_FROM_SANDBOX // 4
"""What one CALL carries at most; a longer batch travels in several, under way together."""

T = TypeVar("T")


class HostError(RuntimeError):
    """A host function failed, with the text that the host gives for it."""

    __module__ = "builtins"  # a traceback then names it without the worker's own module


class Host:
    """Sends frames, and hands those that arrive to whoever waits for them.

    The main thread takes operations from the channel. Another one listens for answers, so that calls from
    several threads of a cell do not wait for each other, so that a cell can be interrupted, and so that the
    process ends with the host even while a cell is busy.
    """

    def __init__(self, channel: int, answers: int) -> None:
        for descriptor in (channel, answers):
            os.set_inheritable(descriptor, False)
        self.scratch: str | None = None
        """A folder to remove should the host vanish."""
        self._interrupted: str | None = None
        """The last operation that the host interrupted; word of it may arrive before the operation."""
        self._interrupt_waits = False
        self._channel = socket.socket(fileno=channel)
        self._operations = _frames_of(channel)
        self._answers = _frames_of(answers)
        self._process = os.getpid()
        self._sending = threading.Lock()
        self._cell: str | None = None
        self._numbers = itertools.count()
        self._waiting: dict[int, queue.SimpleQueue[Frame | None]] = {}
        threading.Thread(target=self._listen, name="palaestra-answers", daemon=True).start()

    @property
    def interrupted(self) -> bool:
        """Whether the host interrupted the operation under way."""
        return self._cell is not None and self._cell == self._interrupted

    def take(self) -> Frame:
        """The next operation, which is under way from now on."""
        self._wait()
        frame = self._receive()
        # Whatever the cell before did about them; `signal.signal` would take ten times as long.
        set_handler(signal.SIGINT, self._interrupt)
        self._cell = frame.header.get("cell")
        self._interrupt_waits = self.interrupted
        return frame

    def send(self, kind: Kind, header: Mapping[str, object], body: bytes = b"") -> None:
        with self._sending:
            self._channel.sendall(pack(kind, header, body))

    def done(self, header: Mapping[str, object], body: bytes) -> None:
        """Answer the operation under way. Calls that threads of the cell still wait for end with an error."""
        with self._sending:
            self._cell = None
            with suppress(KeyError):  # the other thread takes them out as well
                while True:
                    self._waiting.popitem()[1].put(None)
            self._channel.sendall(pack(Kind.DONE, header, body))

    def _wait(self) -> None:
        """Until there is something on the channel, whatever a cell's handlers of signals do then."""
        while True:
            try:
                self._operations.peek(1)
            except BaseException as error:  # noqa: BLE001 - such a handler may raise anything
                raised = error.__traceback__
                if isinstance(error, OSError) and raised is not None and raised.tb_next is None:
                    self._end()  # it is no handler's: a cell closed the channel
            else:
                return

    def _receive(self) -> Frame:
        """The next frame. Where one has begun and cannot be read, nobody can tell where the next one does."""
        try:
            frame = receive(self._operations)
        except BaseException:  # noqa: BLE001 - memory may be short, or a handler of a cell's raise anything
            self._end()
        if frame is None:
            self._end()
        return frame

    def pieces(self, kind: Kind) -> Iterator[bytes]:
        """What follows the operation that was taken last; read to its end before the next one is taken."""
        last = kind not in WITH_PIECES
        while not last:
            frame = self._receive()
            last = frame.header["last"]
            yield frame.body

    def interruptible(self, work: Callable[[], T]) -> T:
        """Do `work` in the main thread; only here does an interrupt become a KeyboardInterrupt."""
        self._raise_interrupt()
        return work()

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
        answer = self._send_call(function, lengths, body)
        self._raise_interrupt()
        return answer

    def _send_call(
        self, function: str, lengths: Sequence[int], body: bytes
    ) -> queue.SimpleQueue[Frame | None]:
        answer: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()
        with self._sending:
            if self._cell is None:
                raise HostError(f"{function} was called after its cell had ended")
            number = next(self._numbers)
            self._waiting[number] = answer
            header = {"cell": self._cell, "call": number, "function": function, "lengths": lengths}
            self._channel.sendall(pack(Kind.CALL, header, body))
        return answer

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        """Interrupt the main thread if it runs code of a cell; not in the middle of a frame that it sends."""
        while frame is not None:
            if frame.f_code is Host._send_call.__code__:
                break
            if frame.f_code is Host.interruptible.__code__:
                raise KeyboardInterrupt
            frame = frame.f_back
        self._interrupt_waits = True

    def _raise_interrupt(self) -> None:
        if self._interrupt_waits:
            self._interrupt_waits = False
            raise KeyboardInterrupt

    def _listen(self) -> None:
        # All are the main thread's, which then hears of one before what arrives after it.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            while frame := receive(self._answers):
                if frame.kind is Kind.INTERRUPT:
                    self._interrupted = frame.header["cell"]
                    if self.interrupted:
                        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                elif answer := self._waiting.pop(frame.header["call"], None):
                    answer.put(frame)
        finally:
            self._end()

    def _end(self) -> NoReturn:
        """The host is gone: leave nothing behind, whatever a cell is doing."""
        if self.scratch is not None:
            _remove(self.scratch)
        if os.getpgrp() == self._process:
            os.killpg(self._process, signal.SIGKILL)
        os._exit(1)


def _frames_of(descriptor: int) -> io.BufferedReader:
    return io.BufferedReader(io.FileIO(descriptor, closefd=False), 1 << 16)


def _remove(folder: str) -> None:
    """As far as that is possible. The whole of `shutil` would make every start longer."""
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            if entry.is_dir(follow_symlinks=False):
                _remove(entry.path)
            else:
                with suppress(OSError):
                    os.unlink(entry.path)
        os.rmdir(folder)


def _groups(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    start, characters = 0, 0
    for index, text in enumerate(texts):
        characters += len(text)
        if index > start and (index - start == MAX_TEXTS or characters > GROUP_CHARACTERS):
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
