"""A language model that scores each contestant by itself."""

from __future__ import annotations

from typing import Literal

from palaestra.arena.judges.llm import pair_verdict
from palaestra.arena.judges.once import OnceScorer
from palaestra.arena.judges.scorer import Scored, Scorer, ScorerConfig
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.verdict import NoVerdict, Verdict
from palaestra.models.base import Model


class PointwiseJudgeConfig(ScorerConfig):
    kind: Literal["pointwise"] = "pointwise"


class PointwiseJudge:
    """Two scores that know nothing of each other: N questions for a group of N, and no order.

    It is here for comparison. Without a second contestant to hold against the first, scores of good answers
    crowd on a few values, so that near contestants tie. A contestant is scored once for each attempt; the
    first verdict that rests on its score bears the usage.
    """

    def __init__(self, model: Model, config: PointwiseJudgeConfig, seed: int = 0) -> None:
        self.name = f"pointwise/{model.name}"
        self._scorer = OnceScorer(Scorer(model, config, seed))

    async def compare(
        self, task: Task, first: Trajectory, second: Trajectory, attempt: int = 0
    ) -> Verdict | NoVerdict:
        one, other = await self._scorer.score(task, [(first,), (second,)], attempt)
        usage, request = one.usage + other.usage, f"{one.request} {other.request}".strip()
        if isinstance(one, NoVerdict):
            return one.model_copy(update={"usage": usage, "request": request})
        if isinstance(other, NoVerdict):
            return other.model_copy(update={"usage": usage, "request": request})
        both = Scored(
            scores=one.scores + other.scores,
            dimensions={
                name: score + other.dimensions[name]
                for name, score in one.dimensions.items()
                if name in other.dimensions
            },
            reason=f"{one.reason} / {other.reason}",
            alerts=one.alerts + other.alerts,
            forgery=one.forgery or other.forgery,
            usage=usage,
            request=request,
        )
        return pair_verdict(both, 0, 1)
