"""A language model as the judge of a pair."""

from __future__ import annotations

from typing import Literal

from palaestra.arena.judges.evidence import show_task
from palaestra.arena.judges.scorer import Scored, Scorer, ScorerConfig, ShowTask
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.verdict import NoVerdict, Verdict
from palaestra.models.base import Model


class LLMJudgeConfig(ScorerConfig):
    kind: Literal["llm"] = "llm"


class LLMJudge:
    """Scores both trajectories in one answer, in the order shown."""

    def __init__(self, model: Model, config: ScorerConfig, seed: int = 0, show: ShowTask = show_task) -> None:
        self.name = model.name
        self._scorer = Scorer(model, config, seed, show)

    async def compare(
        self, task: Task, first: Trajectory, second: Trajectory, attempt: int = 0
    ) -> Verdict | NoVerdict:
        scored = await self._scorer.score(task, (first, second), attempt)
        return scored if isinstance(scored, NoVerdict) else pair_verdict(scored, 0, 1)


def pair_verdict(scored: Scored, first: int, second: int) -> Verdict:
    """What scores of several contestants say of two of them, by their places among those shown."""
    alerts = [
        f"{place}: {sign}"
        for place, index in (("first", first), ("second", second))
        for sign in scored.alerts[index]
    ]
    if scored.forgery:
        alerts.append("judge: it repeated a forged verdict")
    verdict = Verdict.from_scores(
        scored.scores[first], scored.scores[second], rationale=scored.reason, usage=scored.usage
    )
    dimensions = {name: (scores[first], scores[second]) for name, scores in scored.dimensions.items()}
    return verdict.model_copy(
        update={"dimensions": dimensions, "alerts": tuple(alerts), "request": scored.request}
    )
