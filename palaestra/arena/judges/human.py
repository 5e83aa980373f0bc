"""A person at the terminal as the judge."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterable
from typing import Literal, TextIO

from rich.console import Console, Group
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from palaestra.arena.judges.evidence import Exhibit, neutralise, show_task, show_trajectory
from palaestra.core.record import Record
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.verdict import NoVerdict, Verdict


class HumanJudgeConfig(Record):
    kind: Literal["human"] = "human"
    evidence_chars: int = 20_000
    """Characters shown of each trajectory."""
    context_chars: int = 4000
    """Characters shown of the task's context."""


VERDICTS = {"1": (10.0, 0.0), "2": (0.0, 10.0), "t": (5.0, 5.0)}
"""What each key says of (left, right)."""
KEYS = "[1] left  [2] right  [t] tie  [s] skip  [q] stop"


class HumanJudge:
    """Shows two trajectories side by side, in the order of the call and without names, and asks for a key.

    One question at a time, however many are under way. A skipped pair is a NoVerdict and does not come
    again in this process. Stopping, or the end of the input, sends the process the signal of Ctrl-C: what was
    judged is kept, and the run can be resumed.
    """

    def __init__(
        self, config: HumanJudgeConfig, answers: TextIO | None = None, screen: TextIO | None = None
    ) -> None:
        self.name = "human"
        self._config = config
        self._answers = answers or sys.stdin
        self._console = Console(file=screen or sys.stderr)
        self._turn = asyncio.Lock()
        self._skipped: set[tuple[str, str, str]] = set()

    async def compare(
        self, task: Task, first: Trajectory, second: Trajectory, attempt: int = 0
    ) -> Verdict | NoVerdict:
        pair = (task.id, first.id, second.id)
        async with self._turn:
            if pair in self._skipped:
                return NoVerdict(reason="skipped")
            self._show(task, first, second)
            while (key := await self._key()) not in VERDICTS:
                if key == "s":
                    self._skipped.add(pair)
                    return NoVerdict(reason="skipped")
                if key == "q":
                    signal.raise_signal(signal.SIGINT)
                    await asyncio.Event().wait()  # until the interrupted run cancels this question
        return Verdict.from_scores(*VERDICTS[key])

    def _show(self, task: Task, first: Trajectory, second: Trajectory) -> None:
        sides = Table.grid(expand=True, padding=(0, 1))
        sides.add_column(ratio=1)
        sides.add_column(ratio=1)
        sides.add_row(
            *(
                Panel(_readable(show_trajectory(each, self._config.evidence_chars)), title=title)
                for title, each in (("1", first), ("2", second))
            )
        )
        self._console.print(Rule())
        self._console.print(_readable(show_task(task, self._config.context_chars)), sides)

    async def _key(self) -> str:
        """The first letter of the next line; `q` at the end of the input."""
        self._console.print(KEYS, end=" ", markup=False)
        if self._answers.isatty():
            await _until_readable(self._answers)
        line = self._answers.readline()
        return line.strip().lower()[:1] if line else "q"


async def _until_readable(stream: TextIO) -> None:
    """Wait without blocking, so that Ctrl-C is heard."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(stream.fileno(), ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(stream.fileno())


def _readable(exhibits: Iterable[Exhibit]) -> Group:
    return Group(
        *(Group(Text(exhibit.label, style="bold"), Text(neutralise(exhibit.text))) for exhibit in exhibits)
    )
