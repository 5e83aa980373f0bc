"""Memory agents: a context of any length is read once, chunk by chunk, into a memory of fixed size.

`overwrite` is MemAgent (Yu et al., arXiv 2507.02259): the model's whole message is the new memory. `plan`
is the memory agent of QwenLong-L1.5 (arXiv 2512.12967, §2.3): memory and a plan of what to look for next, and
the form of the answer is told at the end only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from pydantic import Field

from palaestra.agents.base import AgentContext
from palaestra.agents.episode import Episode
from palaestra.agents.material import stream
from palaestra.agents.templates import fill
from palaestra.core.chat import Message
from palaestra.core.record import Record
from palaestra.core.task import Task
from palaestra.core.trajectory import Action, Step, Trajectory
from palaestra.models.tokens import Cutter, cutter_for

NO_MEMORY = "No previous memory."
_MEMORY = re.compile(r"<memory>(.*?)(?:</memory>|<plan>|\Z)", re.DOTALL)
_PLAN = re.compile(r"<plan>(.*?)(?:</plan>|\Z)", re.DOTALL)
TEXT_PER_TOKEN = 16
"""Characters of text that are tokenized at once, for each token of a chunk; more where that is too little."""


class MemoryConfig(Record):
    name: Literal["memory"] = "memory"
    form: Literal["overwrite", "plan"] = "overwrite"
    """overwrite: MemAgent; plan: QwenLong-L1.5, with a plan, and the form of the answer told at the end."""
    chunk_tokens: int = Field(default=5000, ge=1)
    """Of the context that the model reads at once."""
    memory_tokens: int = Field(default=1024, ge=1)
    """That the model may write at each chunk; what is longer is cut off."""
    tokenizer: str | None = None
    """Folder whose tokenizer counts; null: the model's own for hf/ models, else four characters a token."""
    prompts: str | None = None
    """Folder with templates that replace those of the same name in palaestra/agents/prompts; `short`: those
    that are shipped for small models; null: none."""


class Notes(NamedTuple):
    """What the agent knows: m_t and p_t."""

    memory: str = NO_MEMORY
    plan: str = ""


class MemoryAgent:
    """Reads the context once and answers from its memory alone: ⌈L / chunk⌉ + 1 calls, one after another.

    Every call is a conversation of one message. A budget's `turns` do not count chunks. A killed run goes on
    at the next chunk.
    """

    name = "memory"
    uses_sandbox = False

    def __init__(self, config: MemoryConfig) -> None:
        self._config = config

    async def run(self, task: Task, context: AgentContext) -> Trajectory:
        episode = Episode(self.name, task, context)
        return await episode.outcome(self._play(episode))

    async def _play(self, episode: Episode) -> None:
        taken = episode.restore()
        if taken and (last := taken[-1].checkpoint) and last.finished:
            return
        notes = Notes()
        for step in taken:
            notes = self._read(step.step.thought, notes)
        cut = cutter_for(episode.context.model.name, self._config.tokenizer)
        for index, chunk in enumerate(
            chunks(stream(episode.task.context or ""), self._config.chunk_tokens, cut)
        ):
            if index >= len(taken):
                notes = await self._take_in(episode, chunk, notes)
        await self._answer(episode, notes)

    async def _take_in(self, episode: Episode, chunk: str, notes: Notes) -> Notes:
        """(m_t, p_t) ~ π(· | m_{t-1}, p_{t-1}, x_t, q)."""
        reply = await self._ask(
            episode,
            f"memory-{self._config.form}",
            question=episode.task.prompt if self._config.form == "plan" else episode.task.request,
            chunk=chunk,
            memory=notes.memory,
            plan=notes.plan,
            memory_tokens=self._config.memory_tokens,
        )
        read = self._read(reply, notes)
        episode.answer = read.memory
        episode.record(Step(thought=reply, observation=f"read {len(chunk)} characters"))
        return read

    async def _answer(self, episode: Episode, notes: Notes) -> None:
        """y ~ π(· | m_K, q)."""
        episode.answer = await self._ask(
            episode, "memory-answer", question=episode.task.request, memory=notes.memory
        )
        answer = Action(kind="answer", content=episode.answer)
        episode.record(Step(thought="", actions=(answer,)), finished=True)

    async def _ask(self, episode: Episode, template: str, **values: str | int) -> str:
        prompt = fill(template, self._config.prompts, **values)
        episode.messages = [Message(role="user", content=prompt)]
        most = self._config.memory_tokens
        sampling = episode.context.sampling
        limit = most if sampling.max_tokens is None else min(most, sampling.max_tokens)
        return (await episode.ask(sampling.model_copy(update={"max_tokens": limit}))).text.strip()

    def _read(self, reply: str, before: Notes) -> Notes:
        """The notes in a message. Without tags all of it is memory; an empty one changes nothing."""
        if self._config.form == "overwrite":
            return Notes(reply or before.memory)
        memory, plan = _MEMORY.search(reply), _PLAN.search(reply)
        if memory is None:
            return Notes(
                _PLAN.sub("", reply).strip() or before.memory, plan[1].strip() if plan else before.plan
            )
        return Notes(memory[1].strip() or before.memory, plan[1].strip() if plan else before.plan)


def chunks(pieces: Iterable[str], tokens: int, cut: Cutter) -> Iterator[str]:
    """A text that comes in pieces of any size, in chunks of so many tokens each but the last."""
    waiting = ""
    enough = TEXT_PER_TOKEN * tokens
    for piece in pieces:
        waiting += piece
        while len(waiting) >= enough:
            end = cut(waiting[:enough], tokens)
            if end == enough:
                enough *= 2
            else:
                yield waiting[:end]
                waiting = waiting[end:]
    while waiting:
        end = cut(waiting, tokens)
        yield waiting[:end]
        waiting = waiting[end:]
