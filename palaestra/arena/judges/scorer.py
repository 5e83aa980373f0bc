"""One question to a language model: score these contestants by this rubric."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import NamedTuple

from pydantic import Field

from palaestra.arena.judges.alerts import find_alerts
from palaestra.arena.judges.ballot import Unreadable, ballot_schema, read_ballot
from palaestra.arena.judges.evidence import Exhibit, quote, show_task, show_trajectory
from palaestra.arena.judges.rubrics import load_rubric
from palaestra.core.chat import Message, Sampling
from palaestra.core.errors import ContextTooLong, RequestRejected
from palaestra.core.record import Record, digest
from palaestra.core.task import Rubric, Task
from palaestra.core.template import render
from palaestra.core.trajectory import Trajectory
from palaestra.core.usage import Usage
from palaestra.core.verdict import NoVerdict
from palaestra.models.base import Model
from palaestra.models.cached import request_key
from palaestra.models.config import ModelConfig

PROMPTS = Path(__file__).parents[1] / "prompts"

REPEAT_TEMPERATURE = 0.7
"""At least, when the same is asked again: a greedy answer would only repeat itself."""

ShowTask = Callable[[Task, int], list[Exhibit]]
"""What is shown of a task, its context cut to a number of characters."""


class ScorerConfig(Record):
    """What the judges that ask a language model have in common."""

    model: ModelConfig
    rubric: str | None = None
    """For tasks without a rubric of their own: a YAML file, or the name of a shipped one, such as travel;
    null is helpfulness, correctness and clarity."""
    system_prompt: Path | None = None
    """Jinja template of the system message; null is the shipped judge_system.j2."""
    evidence_chars: int = Field(default=40_000, ge=1000)
    """Characters shown of each trajectory: the answer first, the steps share what it leaves."""
    context_chars: int = Field(default=20_000, ge=0)
    """Characters shown of the task's context."""
    temperature: float = Field(default=0.0, ge=0)
    """Of the first answer; asked again, the judge answers at 0.7 or more."""
    max_tokens: int | None = Field(default=4096, ge=1)
    """Of one answer, hidden reasoning included; null leaves it to the backend."""


class Scored(NamedTuple):
    """A model's scores of some contestants, in the order shown."""

    scores: tuple[float, ...]
    dimensions: Mapping[str, tuple[float, ...]]
    reason: str
    alerts: tuple[tuple[str, ...], ...]
    """By contestant."""
    forgery: bool
    """Whether the model repeated a ballot that is not its own."""
    usage: Usage
    request: str
    """Digest of messages and sampling."""


class Scorer:
    """Asks for the scores of any number of contestants in one answer.

    A contestant's text is shown line by line behind a quotation mark, between lines that carry a code made
    of the seed, the attempt and everything shown. The code must be in the ballot too, so that no contestant
    can end its own section, speak as the judge or leave a ballot of its own. The prompt follows from what a
    run stores; its digest is in the result.
    """

    def __init__(self, model: Model, config: ScorerConfig, seed: int = 0, show: ShowTask = show_task) -> None:
        """
        Raises:
            ConfigError: the rubric cannot be read.
        """
        self.name = model.name
        self._model = model
        self._config = config
        self._seed = seed
        self._show = show
        self._rubric = load_rubric(config.rubric)

    async def score(
        self, task: Task, contestants: Sequence[Trajectory], attempt: int = 0
    ) -> Scored | NoVerdict:
        """
        Raises:
            ModelError: the model did not answer at all.
        """
        rubric, labels = task.rubric or self._rubric, _labels(len(contestants))
        shown = [show_trajectory(each, self._config.evidence_chars) for each in contestants]
        shown_task = self._show(task, self._config.context_chars)
        code = self._code([shown_task, *shown], attempt)
        messages = self._messages(rubric, code, shown_task, dict(zip(labels, shown, strict=True)))
        sampling = self._sampling(attempt).model_copy(update={"json_schema": ballot_schema(labels, rubric)})
        request = request_key(messages, sampling)
        try:
            completion = await self._model.generate(messages, sampling)
        except ContextTooLong as error:
            return NoVerdict(reason=f"{error}, or lower the judge's evidence_chars and context_chars")
        except RequestRejected as error:
            return NoVerdict(reason=str(error))
        try:
            ballot = read_ballot(completion.text, code, labels, rubric)
        except Unreadable as error:
            return NoVerdict(reason=str(error), usage=completion.usage, request=request)
        return Scored(
            scores=ballot.scores,
            dimensions=ballot.dimensions,
            reason=ballot.reason,
            alerts=tuple(tuple(find_alerts(exhibits)) for exhibits in shown),
            forgery=ballot.forgery,
            usage=completion.usage,
            request=request,
        )

    def _code(self, shown: Sequence[Sequence[Exhibit]], attempt: int) -> str:
        """Eight hexadecimal digits that nothing shown contains."""
        everything = digest([self._seed, attempt, shown])
        texts = [exhibit.text for exhibits in shown for exhibit in exhibits]
        while any(everything[:8] in text for text in texts):
            everything = digest(everything)
        return everything[:8]

    def _messages(
        self,
        rubric: Rubric,
        code: str,
        task: Sequence[Exhibit],
        contestants: Mapping[str, Sequence[Exhibit]],
    ) -> list[Message]:
        system = render(
            self._config.system_prompt or PROMPTS / "judge_system.j2",
            rubric=rubric,
            labels=list(contestants),
        )
        request = render(
            PROMPTS / "judge_request.j2",
            code=code,
            task=task,
            contestants=contestants,
            rubric=rubric,
            quote=quote,
        )
        return [Message(role="system", content=system), Message(role="user", content=request)]

    def _sampling(self, attempt: int) -> Sampling:
        temperature = self._config.temperature
        if attempt:
            temperature = max(temperature, REPEAT_TEMPERATURE)
        return Sampling(
            temperature=temperature,
            max_tokens=self._config.max_tokens,
            seed=self._seed,
            sample_index=attempt,
        )


def _labels(number: int) -> list[str]:
    """A, B, …, Z, A2, B2, …"""
    return [
        ascii_uppercase[index % 26] + (str(index // 26 + 1) if index >= 26 else "") for index in range(number)
    ]
