"""Several judges as one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, Literal, NamedTuple, Protocol

from pydantic import Field, model_validator

from palaestra.arena.judges.base import Judge
from palaestra.arena.judges.single import SingleJudgeConfig
from palaestra.core.errors import ModelError
from palaestra.core.record import Record
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.usage import total
from palaestra.core.verdict import NoVerdict, Verdict, Vote

Rule = Literal["mean", "vote"]


class MemberConfig(Record):
    """One judge of a panel; its name is enough."""

    judge: SingleJudgeConfig
    weight: float = Field(default=1.0, gt=0)
    """What its word counts beside those of the others."""

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"judge": value} if isinstance(value, str) else value


class PanelJudgeConfig(Record):
    kind: Literal["panel"] = "panel"
    judges: tuple[MemberConfig, ...] = Field(min_length=2)
    rule: Rule = "mean"
    """mean: of the scores; vote: each verdict counts 10 points for its winner, 5 for both on a tie."""
    quorum: int | None = Field(default=None, ge=1)
    """Verdicts without which the panel gives none; null is more than half of the judges."""


class Member(NamedTuple):
    judge: Judge
    weight: float


class Combine(Protocol):
    def __call__(self, verdict: Verdict) -> tuple[float, float]:
        """The points of (first, second) that a member's verdict brings."""
        ...


def scores_of(verdict: Verdict) -> tuple[float, float]:
    return verdict.scores


def vote_of(verdict: Verdict) -> tuple[float, float]:
    points = {"first": (10.0, 0.0), "tie": (5.0, 5.0), "second": (0.0, 10.0)}
    return points[verdict.winner]


RULES: Mapping[Rule, Combine] = {"mean": scores_of, "vote": vote_of}


class PanelJudge:
    """The weighted mean of what its members say, all asked at the same time (Verga et al., 2404.18796).

    A member without a verdict, or one whose model does not answer, has no say; with fewer verdicts than the
    quorum there is none. Every member's word is in the verdict's votes, where the second member of a name is
    `name#2`.
    """

    def __init__(self, members: Sequence[Member], rule: Rule = "mean", quorum: int | None = None) -> None:
        self._names = _distinct([member.judge.name for member in members])
        self.name = f"panel({', '.join(self._names)})"
        self._members = members
        self._points = RULES[rule]
        self._quorum = quorum or len(members) // 2 + 1

    async def compare(
        self, task: Task, first: Trajectory, second: Trajectory, attempt: int = 0
    ) -> Verdict | NoVerdict:
        """
        Raises:
            ModelError: no member's model answers.
        """
        asked = [_ask(member.judge, task, first, second, attempt) for member in self._members]
        answers = await asyncio.gather(*asked)
        failures = [answer for answer in answers if isinstance(answer, ModelError)]
        if len(failures) == len(self._members):
            raise failures[0]
        votes = tuple(map(_vote, self._names, answers))
        usage = total(vote.usage for vote in votes)
        heard = [
            (member.weight, answer)
            for member, answer in zip(self._members, answers, strict=True)
            if isinstance(answer, Verdict)
        ]
        if len(heard) < self._quorum:
            missing = next(vote for vote in votes if vote.winner is None)
            reason = (
                f"{len(heard)} of {len(votes)} judges gave a verdict and {self._quorum} must "
                f"({missing.judge}: {missing.reason})"
            )
            return NoVerdict(reason=reason, usage=usage, votes=votes)
        weights = [weight for weight, _ in heard]
        points = [self._points(verdict) for _, verdict in heard]
        verdict = Verdict.from_scores(
            fmean([first for first, _ in points], weights),
            fmean([second for _, second in points], weights),
            rationale="\n".join(verdict.rationale for _, verdict in heard if verdict.rationale),
            usage=usage,
        )
        alerts = tuple(dict.fromkeys(alert for _, verdict in heard for alert in verdict.alerts))
        return verdict.model_copy(update={"votes": votes, "alerts": alerts})


async def _ask(
    judge: Judge, task: Task, first: Trajectory, second: Trajectory, attempt: int
) -> Verdict | NoVerdict | ModelError:
    try:
        return await judge.compare(task, first, second, attempt)
    except ModelError as error:
        return error


def _distinct(names: Sequence[str]) -> list[str]:
    """
    >>> _distinct(["a", "b", "a", "a"])
    ['a', 'b', 'a#2', 'a#3']
    """
    places = [names[: place + 1].count(name) for place, name in enumerate(names)]
    return [name if place == 1 else f"{name}#{place}" for name, place in zip(names, places, strict=True)]


def _vote(name: str, answer: Verdict | NoVerdict | ModelError) -> Vote:
    if isinstance(answer, ModelError):
        return Vote(judge=name, winner=None, reason=str(answer))
    if isinstance(answer, NoVerdict):
        return Vote(judge=name, winner=None, reason=answer.reason, usage=answer.usage, request=answer.request)
    return Vote(
        judge=name,
        winner=answer.winner,
        scores=answer.scores,
        reason=answer.rationale,
        usage=answer.usage,
        request=answer.request,
    )
