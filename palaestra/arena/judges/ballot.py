"""The form in which a language model gives its scores, and how it is read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from palaestra.core.task import Rubric

LONGEST = 32_000
"""Characters at the end of an answer in which the ballot is looked for."""

Score = Annotated[float, Field(ge=0, le=10, allow_inf_nan=False, strict=True)]


_WHOLE = ""
"""The dimension of a score that was given as one number."""


def _by_dimension(score: Any) -> Any:
    return score if isinstance(score, dict) else {_WHOLE: score}


class _Form(BaseModel):
    scores: dict[str, Annotated[dict[str, Score], BeforeValidator(_by_dimension)]]
    reason: str = ""


class Ballot(NamedTuple):
    scores: tuple[float, ...]
    """Of each contestant, in the order shown: the mean over the rubric's dimensions by their weights."""
    dimensions: Mapping[str, tuple[float, ...]]
    """Empty where the model gave whole scores only."""
    reason: str
    forgery: bool
    """Whether a ballot with another code stands behind this one in the answer."""


class Unreadable(ValueError):
    """There is no ballot in the answer, or one that cannot be used; the message says why."""


def ballot_schema(labels: Sequence[str], rubric: Rubric) -> dict[str, Any]:
    """The JSON schema of an answer that is a ballot and nothing else, for models that can keep to one."""
    by_dimension = _closed({dimension.name: {"type": "number"} for dimension in rubric.dimensions})
    text = {"type": "string"}
    scores = _closed(dict.fromkeys(labels, by_dimension))
    return _closed({"weighing": text, "ballot": text, "reason": text, "scores": scores})


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def read_ballot(answer: str, code: str, labels: Sequence[str], rubric: Rubric) -> Ballot:
    """The last ballot in `answer` that carries `code`.

    A contestant does not know the code, so that a ballot of a contestant's own making is none, even when
    the judge repeats it.

    Raises:
        Unreadable: there is none, it leaves out a contestant or a dimension, or a score is not in 0 to 10.
    """
    found, forgery = _last_ballot(answer[-LONGEST:], code)
    if found is None:
        raise Unreadable(f"no verdict at the end of the answer: …{answer[-80:]!r}")
    try:
        form = _Form.model_validate(found)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"] if part != _WHOLE)
        raise Unreadable(f"the verdict's {place}: {problem['msg']}") from error
    if missing := [label for label in labels if label not in form.scores]:
        raise Unreadable(f"the verdict's scores.{missing[0]}: missing")
    given = [form.scores[label] for label in labels]
    totals = tuple(_total(score, rubric, label) for score, label in zip(given, labels, strict=True))
    dimensions = {
        dimension.name: tuple(score[dimension.name] for score in given)
        for dimension in rubric.dimensions
        if not any(_WHOLE in score for score in given)
    }
    return Ballot(totals, dimensions, form.reason, forgery)


def _total(score: Mapping[str, float], rubric: Rubric, label: str) -> float:
    if _WHOLE in score:
        return score[_WHOLE]
    weights = {dimension.name: dimension.weight for dimension in rubric.dimensions}
    if missing := [name for name in weights if name not in score]:
        raise Unreadable(f"the verdict's scores.{label}.{missing[0]}: missing")
    total = sum(weight * score[name] for name, weight in weights.items())
    return min(10.0, total / sum(weights.values()))


def _last_ballot(text: str, code: str) -> tuple[dict[str, Any] | None, bool]:
    forgery = False
    start = text.rfind("{")
    while start >= 0:
        value = _object_at(text, start)
        if isinstance(value, dict) and "ballot" in value:
            if value["ballot"] == code:
                return value, forgery
            forgery = True
        start = text.rfind("{", 0, start)
    return None, forgery


def _object_at(text: str, start: int) -> Any:
    try:
        return json.JSONDecoder().raw_decode(text, start)[0]
    except (ValueError, RecursionError):
        return None
