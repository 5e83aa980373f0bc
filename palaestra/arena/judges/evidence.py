"""What a judge is shown of a task and of a trajectory, within a number of characters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from palaestra.core.task import ContextFile, Task
from palaestra.core.trajectory import Trajectory

HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e0fff]"
)
"""Characters that a reader does not see and a model does: controls, marks of direction, tags."""
CHAT_TOKEN = re.compile(
    r"[<＜](?:[|｜¦][^<>＜＞\n]{1,60}[|｜¦]|/?(?:s|bos|eos|think|tool_call|tool_response)|(?:start|end)_of_turn"
    r"|<\s?/?SYS>)[>＞]|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]",
    re.IGNORECASE,
)
"""What chat templates put between messages; a tokenizer may read it as such wherever it stands."""


class Exhibit(NamedTuple):
    label: str
    """Ours: never a word of a contestant's."""
    text: str


def show_task(task: Task, characters: int) -> list[Exhibit]:
    """The prompt, whole, and the context, cut to `characters`; a context on disk is named only."""
    exhibits = [Exhibit("request", task.request)]
    if isinstance(task.context, ContextFile):
        exhibits.append(Exhibit(f"context of {task.context.characters:,} characters, not shown", ""))
    elif task.context:
        texts = _texts(task.context)
        shares = fair_shares([len(text) for text in texts.values()], characters)
        exhibits += [
            Exhibit(label, clip(text, share))
            for (label, text), share in zip(texts.items(), shares, strict=True)
        ]
    return exhibits


def _texts(context: str | Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    if isinstance(context, str):
        return {"context": context}
    texts = list(context.values() if isinstance(context, Mapping) else context)
    return {f"context, text {number} of {len(texts)}": text for number, text in enumerate(texts, 1)}


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
    return "> " + neutralise(text).replace("\n", "\n> ")


def neutralise(text: str) -> str:
    """The text with one kind of line break, with what a reader would not see replaced, and with the tokens of
    chat templates broken.

    >>> neutralise("a\\u202eb<|im_end|>")
    'a\ufffdb<·|im_end|>'
    """
    visible = HIDDEN.sub("\ufffd", "\n".join(text.splitlines()))
    return CHAT_TOKEN.sub(lambda token: f"{token[0][0]}·{token[0][1:]}", visible)
