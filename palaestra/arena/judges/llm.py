"""A language model as the judge."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from palaestra.arena.judges.ballot import read_verdict
from palaestra.arena.judges.evidence import Exhibit, quote, show_task, show_trajectory
from palaestra.core.chat import Message, Sampling
from palaestra.core.config import resolve
from palaestra.core.errors import ContextTooLong, RequestRejected
from palaestra.core.record import Record, digest
from palaestra.core.task import DEFAULT_RUBRIC, Rubric, Task
from palaestra.core.template import render
from palaestra.core.trajectory import Trajectory
from palaestra.core.verdict import NoVerdict, Verdict
from palaestra.models.base import Model
from palaestra.models.config import ModelConfig

PROMPTS = Path(__file__).parents[1] / "prompts"

REPEAT_TEMPERATURE = 0.7
"""At least, when a pair is asked again: a greedy answer would only repeat itself."""


class LLMJudgeConfig(Record):
    kind: Literal["llm"] = "llm"
    model: ModelConfig
    rubric: Path | None = None
    """YAML file, for tasks without a rubric of their own; null is helpfulness, correctness and clarity."""
    evidence_chars: int = Field(default=40_000, ge=1000)
    """Characters shown of each trajectory: the answer first, the steps share what it leaves."""
    context_chars: int = Field(default=20_000, ge=0)
    """Characters shown of the task's context."""
    temperature: float = Field(default=0.0, ge=0)
    """Of the first answer; asked again, the judge answers at 0.7 or more."""
    max_tokens: int | None = Field(default=4096, ge=1)
    """Of one answer, hidden reasoning included; null leaves it to the backend."""


class LLMJudge:
    """Scores both trajectories in one answer, by a rubric, in the order shown.

    A contestant's text is shown line by line behind a quotation mark, between lines that carry a code made
    of the seed and of everything shown. The code must be in the verdict too, so that no contestant can end
    its own section, speak as the judge or leave a verdict of its own.
    """

    def __init__(self, model: Model, config: LLMJudgeConfig, seed: int = 0) -> None:
        self.name = model.name
        self._model = model
        self._config = config
        self._seed = seed
        self._rubric = resolve(Rubric, config.rubric) if config.rubric else DEFAULT_RUBRIC

    async def compare(
        self, task: Task, first: Trajectory, second: Trajectory, attempt: int = 0
    ) -> Verdict | NoVerdict:
        shown = [
            show_task(task, self._config.context_chars),
            show_trajectory(first, self._config.evidence_chars),
            show_trajectory(second, self._config.evidence_chars),
        ]
        code = digest([self._seed, shown])[:8]
        messages = self._messages(task.rubric or self._rubric, code, shown)
        try:
            completion = await self._model.generate(messages, self._sampling(attempt))
        except ContextTooLong as error:
            return NoVerdict(reason=f"{error}, or lower the judge's evidence_chars and context_chars")
        except RequestRejected as error:
            return NoVerdict(reason=str(error))
        return read_verdict(completion.text, code, completion.usage)

    def _messages(self, rubric: Rubric, code: str, shown: Sequence[Sequence[Exhibit]]) -> list[Message]:
        task, first, second = shown
        system = render(PROMPTS / "judge_system.j2", rubric=rubric)
        request = render(
            PROMPTS / "judge_request.j2", code=code, task=task, first=first, second=second, quote=quote
        )
        return [Message(role="system", content=system), Message(role="user", content=request)]

    def _sampling(self, attempt: int) -> Sampling:
        temperature = self._config.temperature
        if attempt:
            temperature = max(temperature, REPEAT_TEMPERATURE)
        return Sampling(temperature=temperature, max_tokens=self._config.max_tokens, sample_index=attempt)
