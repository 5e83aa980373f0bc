"""A scorer that is never asked the same twice."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from palaestra.arena.judges.scorer import Scored, Scorer
from palaestra.core.errors import ModelError
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.usage import Usage
from palaestra.core.verdict import NoVerdict

_Question = tuple[str, tuple[str, ...], int]
"""A task, contestants in their order, and an attempt."""


class OnceScorer:
    """Several verdicts may rest on one answer of the model.

    A question that the model did not answer fails for all who wait for it, and may be asked again.
    """

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._asked: dict[_Question, asyncio.Task[Scored | NoVerdict]] = {}
        self._borne: set[_Question] = set()

    async def score(
        self, task: Task, lists: Sequence[Sequence[Trajectory]], attempt: int
    ) -> list[Scored | NoVerdict]:
        """The scores of several lists of contestants.

        The first call to have all of its answers bears their usage, not the one that asked first: should the
        process die, no judgement was given on an answer that nobody was billed for.

        Raises:
            ModelError: the model did not answer at all.
        """
        questions = [(task.id, tuple(contestant.id for contestant in each), attempt) for each in lists]
        asking = (self._ask(*each, task) for each in zip(questions, lists, strict=True))
        return list(map(self._bear, questions, await asyncio.gather(*asking)))

    async def _ask(
        self, question: _Question, contestants: Sequence[Trajectory], task: Task
    ) -> Scored | NoVerdict:
        if known := self._asked.get(question):
            return await asyncio.shield(known)
        *_, attempt = question
        asking = asyncio.create_task(self._scorer.score(task, contestants, attempt))
        self._asked[question] = asking
        try:
            return await asyncio.shield(asking)
        except ModelError:
            del self._asked[question]
            raise

    def _bear(self, question: _Question, scored: Scored | NoVerdict) -> Scored | NoVerdict:
        if question not in self._borne:
            self._borne.add(question)
            return scored
        if isinstance(scored, NoVerdict):
            return scored.model_copy(update={"usage": Usage()})
        return scored._replace(usage=Usage())
