"""Arena-Hard-Auto (2406.11939): questions, answers and judgements in three files that share an id."""

from __future__ import annotations

from typing import Any

from pydantic import AliasChoices, BaseModel, Field

from palaestra.datasets.judgements.group import JudgedGroup, RecordedVote

BASELINE = "gpt-4-0314"
"""Against whom version 0.1 compares, where its rows do not say it."""

_POINTS = {"A>>B": (10.0, 0.0), "A>B": (7.5, 2.5), "A=B": (5.0, 5.0), "B>A": (2.5, 7.5), "B>>A": (0.0, 10.0)}

_Identity = Field(validation_alias=AliasChoices("question_id", "uid"))


class ArenaHardQuestion(BaseModel):
    """A row of `question.jsonl`, of version 0.1 or 2."""

    id: str = _Identity
    question: str | list[Any] = Field(validation_alias=AliasChoices("prompt", "turns"))

    def group(self) -> JudgedGroup:
        prompt = self.question if isinstance(self.question, str) else _text(self.question[0])
        return JudgedGroup(group=self.id, prompt=prompt)


class ArenaHardAnswer(BaseModel):
    """A row of `model_answer/<model>.jsonl`."""

    id: str = _Identity
    model: str = Field(validation_alias=AliasChoices("model_id", "model"))
    said: list[Any] = Field(validation_alias=AliasChoices("choices", "messages"), min_length=1)

    def group(self) -> JudgedGroup:
        return JudgedGroup(group=self.id, candidates={self.model: _text(self.said[-1])})


class _Game(BaseModel):
    score: str | None = None


class ArenaHardJudgment(BaseModel):
    """A row of `model_judgment/<judge>/<model>.jsonl`: the baseline shown first, then the model."""

    id: str = _Identity
    model: str
    judge: str
    games: list[_Game | None]
    baseline: str = BASELINE

    def group(self) -> JudgedGroup:
        return JudgedGroup(group=self.id, votes=tuple(map(self._vote, range(len(self.games)), self.games)))

    def _vote(self, index: int, game: _Game | None) -> RecordedVote:
        points = _POINTS.get((game.score or "").strip("[] \n")) if game else None
        vote = RecordedVote(
            a=self.baseline,
            b=self.model,
            winner=None,
            judge=self.judge,
            source="model",
            first_shown="b" if index % 2 else "a",
        )
        if points is None:
            return vote
        a, b = points[::-1] if index % 2 else points
        winner = "a" if a > b else "b" if b > a else "tie"
        return vote.model_copy(update={"winner": winner, "scores": (a, b)})


def _text(said: Any) -> str:
    """The text of a message, of a turn, or of a choice with several turns, of which the last counts."""
    while not isinstance(said, str):
        key = next((key for key in ("turns", "content", "answer") if key in said), None)
        if key is None:
            raise ValueError("a message without content")
        said = said[key][-1] if key == "turns" else said[key]
    return said
