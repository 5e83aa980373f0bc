"""The judges that can be members of a panel or a pool, and the names that bring a judge."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from palaestra.arena.judges.human import HumanJudgeConfig
from palaestra.arena.judges.llm import LLMJudgeConfig
from palaestra.arena.judges.pointwise import PointwiseJudgeConfig
from palaestra.arena.judges.programmatic import ProgrammaticJudgeConfig
from palaestra.arena.judges.recorded import RecordedJudgeConfig
from palaestra.arena.judges.reference import ReferenceJudgeConfig

_AFTER_THE_SLASH = {
    "programmatic": "family",
    "recorded": "path",
    "reference": "model",
    "pointwise": "model",
    "listwise": "model",
}


def judge_settings(name: str) -> dict[str, Any]:
    """The settings that a bare name stands for: `openai/gpt-5`, `pointwise/openai/gpt-5`, `recorded/file`,
    `programmatic/trip`, `human`."""
    kind, _, rest = name.partition("/")
    if kind == "human":
        return {"kind": kind}
    if kind not in _AFTER_THE_SLASH:
        return {"kind": "llm", "model": {"name": name}}
    field = _AFTER_THE_SLASH[kind]
    return {"kind": kind, field: {"name": rest} if field == "model" else rest}


def from_name(value: Any) -> Any:
    """For a field that holds a judge: a bare name is enough, and without a `kind` it is a language model."""
    if isinstance(value, str):
        return judge_settings(value)
    return {"kind": "llm", **value} if isinstance(value, dict) else value


SingleJudgeConfig = Annotated[
    LLMJudgeConfig
    | ReferenceJudgeConfig
    | PointwiseJudgeConfig
    | ProgrammaticJudgeConfig
    | HumanJudgeConfig
    | RecordedJudgeConfig,
    Field(discriminator="kind"),
    BeforeValidator(from_name),
]
