"""A pool of simulated annotators."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import Field

from palaestra.arena.judges.base import Judge
from palaestra.arena.judges.single import SingleJudgeConfig
from palaestra.core.record import Record, derive_seed
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.verdict import NoVerdict, Verdict, Vote, Winner


class AnnotatorPoolConfig(Record):
    kind: Literal["annotators"] = "annotators"
    annotators: tuple[SingleJudgeConfig, ...] = Field(min_length=1)
    """Judges that differ in model, rubric, prompt or temperature; each question goes to one of them."""
    label_noise: float = Field(default=0.25, ge=0, le=0.5)
    """Probability that a verdict is turned round. AlpacaFarm trains with 0.25 and evaluates with 0."""


class AnnotatorPool:
    """Annotators who disagree as people do: each question goes to one drawn from the pool, and some verdicts
    are turned round (AlpacaFarm, 2305.14387).

    Who is asked and what is turned round follows from seed, task, contestants in their order, and attempt.
    The win rate against a reference model is the leaderboard of an anchor topology with that model's answers
    as the first system.
    """

    def __init__(self, annotators: Sequence[Judge], label_noise: float = 0.25, seed: int = 0) -> None:
        self.name = f"annotators({', '.join(annotator.name for annotator in annotators)})"
        self._annotators = annotators
        self._label_noise = label_noise
        self._seed = seed

    async def compare(
        self, task: Task, first: Trajectory, second: Trajectory, attempt: int = 0
    ) -> Verdict | NoVerdict:
        draw = random.Random(derive_seed(self._seed, task.id, first.id, second.id, attempt))
        annotator = draw.choice(self._annotators)
        turned = draw.random() < self._label_noise
        said = await annotator.compare(task, first, second, attempt)
        if isinstance(said, NoVerdict):
            return said
        vote = Vote(
            judge=annotator.name,
            winner=said.winner,
            scores=said.scores,
            usage=said.usage,
            request=said.request,
        )
        verdict = Verdict.from_scores(
            *(said.scores[::-1] if turned else said.scores), rationale=said.rationale, usage=said.usage
        )
        return verdict.model_copy(update={"votes": (vote,), "alerts": said.alerts})


def agreement_with_majority(ballots: Iterable[Sequence[Winner]]) -> float:
    """How often one annotator says what most of the others say, over pairs that several annotated.

    AlpacaFarm's leave-one-out measure: 0.66 for its human annotators. Equal counts among the others are half
    an agreement each way; NaN where no pair has two annotations.
    """
    agreements = []
    for ballot in ballots:
        counts = Counter(ballot)
        for vote in ballot if len(ballot) > 1 else ():
            others = counts - Counter([vote])
            most = max(others.values())
            modes = [winner for winner, number in others.items() if number == most]
            agreements.append((vote in modes) / len(modes))
    return sum(agreements) / len(agreements) if agreements else float("nan")
