"""The form in which a language model gives its verdict, and how it is read."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from palaestra.core.usage import Usage
from palaestra.core.verdict import NoVerdict, Verdict

LONGEST = 8000
"""Characters at the end of an answer in which its verdict is looked for."""

Score = Annotated[float, Field(ge=0, le=10, allow_inf_nan=False, strict=True)]


class Scores(BaseModel):
    A: Score
    B: Score


class Ballot(BaseModel):
    scores: Scores
    reason: str = ""


def read_verdict(answer: str, code: str, usage: Usage) -> Verdict | NoVerdict:
    """The verdict of the last ballot in `answer` that carries `code`.

    A contestant does not know the code, so that a verdict of a contestant's own making is none, even
    when the judge repeats it.
    """
    found = _last_ballot(answer[-LONGEST:], code)
    if found is None:
        return NoVerdict(reason=f"no verdict at the end of the answer: …{answer[-80:]!r}", usage=usage)
    try:
        ballot = Ballot.model_validate(found)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        return NoVerdict(reason=f"the verdict's {place}: {problem['msg']}", usage=usage)
    return Verdict.from_scores(ballot.scores.A, ballot.scores.B, rationale=ballot.reason, usage=usage)


def _last_ballot(text: str, code: str) -> dict[str, Any] | None:
    start = text.rfind("{")
    while start >= 0:
        value = _object_at(text, start)
        if isinstance(value, dict) and value.get("ballot") == code:
            return value
        start = text.rfind("{", 0, start)
    return None


def _object_at(text: str, start: int) -> Any:
    try:
        return json.JSONDecoder().raw_decode(text, start)[0]
    except (ValueError, RecursionError):
        return None
