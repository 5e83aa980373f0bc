"""What a judge is shown of a task and of a trajectory, within a number of characters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from palaestra.core.task import ContextFile, Task
from palaestra.core.trajectory import Trajectory

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class Exhibit(NamedTuple):
    label: str
    """Ours: never a word of a contestant's."""
    text: str


def show_task(task: Task, characters: int) -> list[Exhibit]:
    """The prompt, whole, and the context, cut to `characters`; a context on disk is named only."""
    exhibits = [Exhibit("request", task.prompt)]
    if isinstance(task.context, ContextFile):
        exhibits.append(Exhibit(f"context of {task.context.characters:,} characters, not shown", ""))
    elif task.context:
        exhibits.append(Exhibit("context", clip(task.context, characters)))
    return exhibits


def show_trajectory(trajectory: Trajectory, characters: int) -> list[Exhibit]:
    """The steps and the final answer; the answer comes first when the characters are shared out."""
    answer = clip(trajectory.answer, characters)
    steps = list(_steps(trajectory))
    shares = fair_shares([len(exhibit.text) for exhibit in steps], max(0, characters - len(answer)))
    exhibits = [
        Exhibit(exhibit.label, clip(exhibit.text, share))
        for exhibit, share in zip(steps, shares, strict=True)
    ]
    if answer:
        return [*exhibits, Exhibit("final answer", answer)]
    return [*exhibits, Exhibit(f"no final answer, status {trajectory.status}", trajectory.reason)]


def _steps(trajectory: Trajectory) -> Iterator[Exhibit]:
    for number, step in enumerate(trajectory.steps, 1):
        if step.thought:
            yield Exhibit(f"step {number}, thought", step.thought)
        for action in step.actions:
            if action.kind != "answer":
                content = f"{action.name}: {action.content}" if action.name else action.content
                yield Exhibit(f"step {number}, {action.kind}", content)
        if step.observation:
            yield Exhibit(f"step {number}, observation", step.observation)


def fair_shares(wanted: Sequence[int], total: int) -> list[int]:
    """`total` shared out evenly, where the long ones get what the short ones leave.

    >>> fair_shares([10, 200, 300], 210)
    [10, 100, 100]
    """
    shares = [0] * len(wanted)
    for done, index in enumerate(sorted(range(len(wanted)), key=wanted.__getitem__)):
        shares[index] = min(wanted[index], total // (len(wanted) - done))
        total -= shares[index]
    return shares


def clip(text: str, characters: int) -> str:
    """The beginning and the end of a text that is longer than `characters`, and how much was left out."""
    if len(text) <= characters:
        return text
    head, tail = characters - characters // 3, characters // 3
    left_out = f"[… {len(text) - head - tail:,} characters left out …]"
    return f"{text[:head]}\n{left_out}\n{text[len(text) - tail :]}"


def quote(text: str) -> str:
    """Every line behind "> ", whatever stands for a line break, so that none can pass for one of ours."""
    return "\n".join("> " + _UNPRINTABLE.sub("\ufffd", line) for line in text.splitlines() or [""])
