"""Answers from recorded judgements: nobody is asked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal

from palaestra.core.record import Record
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.verdict import NoVerdict, Verdict
from palaestra.datasets.judgements.group import JudgedGroup, RecordedVote


class RecordedJudgeConfig(Record):
    kind: Literal["recorded"] = "recorded"
    path: str
    """File or folder of judgements, in any of the forms that can be imported."""
    judge: str | None = None
    """Whose votes to give again, where the file holds those of several; null takes all."""


class RecordedJudge:
    """Gives recorded votes again, found by task and by the names of the two systems.

    A vote whose order was recorded answers for that order; where there is none, those whose order is unknown
    do, and then the mirror of the other order. Of several votes, asking again gives the next.
    """

    def __init__(self, name: str, groups: Iterable[JudgedGroup], judge: str | None = None) -> None:
        self.name = name
        self._votes: dict[tuple[str, str, str], list[RecordedVote]] = defaultdict(list)
        for group in groups:
            for vote in group.votes:
                if judge is None or vote.judge == judge:
                    self._votes[group.group, vote.a, vote.b].append(vote)

    async def compare(
        self, task: Task, first: Trajectory, second: Trajectory, attempt: int = 0
    ) -> Verdict | NoVerdict:
        votes = self._recorded(task.id, first.agent, second.agent) or self._recorded(
            task.id, first.id, second.id
        )
        if not votes:
            reason = f"no vote on {first.agent} and {second.agent} for {task.id} is recorded"
            return NoVerdict(reason=reason)
        vote = votes[attempt % len(votes)]
        if vote.winner is None:
            return NoVerdict(reason=f"the recorded answer of {vote.judge} held no verdict")
        return _verdict(vote)

    def _recorded(self, task: str, first: str, second: str) -> Sequence[RecordedVote]:
        """The votes for this order, turned so that `a` is the first."""
        votes = [
            *self._votes.get((task, first, second), ()),
            *map(_mirrored, self._votes.get((task, second, first), ())),
        ]
        for order in ("a", None, "b"):
            if chosen := [vote for vote in votes if vote.first_shown == order]:
                return chosen
        return ()


def _mirrored(vote: RecordedVote) -> RecordedVote:
    other = {"a": "b", "b": "a"}
    return vote.model_copy(
        update={
            "a": vote.b,
            "b": vote.a,
            "winner": other.get(vote.winner or "", vote.winner),
            "first_shown": other.get(vote.first_shown or ""),
            "scores": vote.scores and vote.scores[::-1],
        }
    )


def _verdict(vote: RecordedVote) -> Verdict:
    points = {"a": (10.0, 0.0), "tie": (5.0, 5.0), "b": (0.0, 10.0)}
    scores = vote.scores or points[vote.winner or "tie"]
    return Verdict.from_scores(*scores, rationale=f"recorded from {vote.judge}")
