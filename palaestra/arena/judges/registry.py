"""From a judge's configuration to the judge."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from palaestra.arena.judges.base import Judge
from palaestra.arena.judges.llm import LLMJudge, LLMJudgeConfig
from palaestra.arena.judges.programmatic import ProgrammaticJudge, ProgrammaticJudgeConfig, Utility
from palaestra.datasets.families import TaskFamily, family
from palaestra.models.registry import load_model
from palaestra.store.cache import ResponseCache


def _from_name(value: Any) -> Any:
    if isinstance(value, str):
        backend, _, name = value.partition("/")
        return (
            {"kind": backend, "family": name}
            if backend == "programmatic"
            else {"kind": "llm", "model": value}
        )
    return {"kind": "llm", **value} if isinstance(value, dict) else value


AnyJudgeConfig = Annotated[
    LLMJudgeConfig | ProgrammaticJudgeConfig, Field(discriminator="kind"), BeforeValidator(_from_name)
]
"""A bare name is enough: a language model's, or `programmatic/<task family>`."""


@asynccontextmanager
async def open_judge(
    config: LLMJudgeConfig | ProgrammaticJudgeConfig, seed: int = 0, cache: ResponseCache | None = None
) -> AsyncIterator[Judge]:
    """The judge that `config` describes; its model is closed afterwards.

    Raises:
        ConfigError: there is no such model or family, or the rubric cannot be read.
    """
    if isinstance(config, ProgrammaticJudgeConfig):
        name, utility = f"programmatic/{config.family}", _on_the_scale(family(config.family))
        yield ProgrammaticJudge(name, utility, config.noise, config.position_bias, seed)
        return
    model = load_model(config.model, cache)
    try:
        yield LLMJudge(model, config, seed)
    finally:
        await model.close()


def _on_the_scale(known: TaskFamily) -> Utility:
    """A family's utility, which is in [0, 1], in points of 0 to 10."""
    return lambda task, trajectory: 10 * known.utility(task, trajectory.answer)
