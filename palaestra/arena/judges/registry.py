"""From a judge's configuration to the judge."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated

from pydantic import BeforeValidator, Field

from palaestra.arena.judges.annotators import AnnotatorPool, AnnotatorPoolConfig
from palaestra.arena.judges.base import Judge
from palaestra.arena.judges.billed_once import BilledOnce, billed_requests
from palaestra.arena.judges.human import HumanJudge, HumanJudgeConfig
from palaestra.arena.judges.listwise import ListwiseJudge, ListwiseJudgeConfig
from palaestra.arena.judges.llm import LLMJudge, LLMJudgeConfig
from palaestra.arena.judges.panel import Member, PanelJudge, PanelJudgeConfig
from palaestra.arena.judges.pointwise import PointwiseJudge, PointwiseJudgeConfig
from palaestra.arena.judges.programmatic import (
    OWN_FAMILY,
    ProgrammaticJudge,
    ProgrammaticJudgeConfig,
    Utility,
)
from palaestra.arena.judges.recorded import RecordedJudge, RecordedJudgeConfig
from palaestra.arena.judges.reference import ReferenceJudge, ReferenceJudgeConfig
from palaestra.arena.judges.single import from_name
from palaestra.core.events import JudgementGiven
from palaestra.core.record import derive_seed
from palaestra.datasets.families import family
from palaestra.datasets.judgements.importer import load_judgements
from palaestra.models.base import Model
from palaestra.models.config import ModelConfig
from palaestra.models.estimate import estimating
from palaestra.models.registry import load_model
from palaestra.store.run_store import RunStore

AnyJudge = (
    LLMJudgeConfig
    | ReferenceJudgeConfig
    | PointwiseJudgeConfig
    | ListwiseJudgeConfig
    | PanelJudgeConfig
    | AnnotatorPoolConfig
    | ProgrammaticJudgeConfig
    | HumanJudgeConfig
    | RecordedJudgeConfig
)
AnyJudgeConfig = Annotated[AnyJudge, Field(discriminator="kind"), BeforeValidator(from_name)]
"""A bare name is enough for a judge that stands alone: see `judge_settings`."""


@asynccontextmanager
async def open_judge(config: AnyJudge, seed: int = 0, store: RunStore | None = None) -> AsyncIterator[Judge]:
    """The judge that `config` describes; its models are closed afterwards.

    With the store of a run no answer is paid for twice in it, and none is billed twice.

    Raises:
        ConfigError: there is no such model or family, or the rubric cannot be read.
        DataError: the recorded judgements cannot be read.
    """
    billed = billed_requests(store.events(JudgementGiven)) if store else ()
    async with AsyncExitStack() as models:

        def open_model(wanted: ModelConfig) -> Model:
            model = BilledOnce(load_model(wanted, store.cache if store else None), billed)
            models.push_async_callback(model.close)
            return model

        yield _build(config, seed, open_model)


def check_judge(config: AnyJudge, seed: int = 0) -> None:
    """
    Raises:
        ConfigError, DataError: the judge cannot be opened. Weights are not loaded to see that.
    """
    _build(estimating(config), seed, load_model)


def _build(config: AnyJudge, seed: int, open_model: Callable[[ModelConfig], Model]) -> Judge:
    match config:
        case LLMJudgeConfig():
            return LLMJudge(open_model(config.model), config, seed)
        case ReferenceJudgeConfig():
            return ReferenceJudge(open_model(config.model), config, seed)
        case PointwiseJudgeConfig():
            return PointwiseJudge(open_model(config.model), config, seed)
        case ListwiseJudgeConfig():
            return ListwiseJudge(open_model(config.model), config, seed)
        case PanelJudgeConfig():
            members = [
                Member(_build(member.judge, derive_seed(seed, index), open_model), member.weight)
                for index, member in enumerate(config.judges)
            ]
            return PanelJudge(members, config.rule, config.quorum)
        case AnnotatorPoolConfig():
            annotators = [
                _build(annotator, derive_seed(seed, index), open_model)
                for index, annotator in enumerate(config.annotators)
            ]
            return AnnotatorPool(annotators, config.label_noise, seed)
        case ProgrammaticJudgeConfig():
            name, utility = f"programmatic/{config.family}", _utility(config.family)
            return ProgrammaticJudge(name, utility, config.noise, config.position_bias, seed)
        case HumanJudgeConfig():
            return HumanJudge(config)
        case RecordedJudgeConfig():
            return RecordedJudge(f"recorded/{config.path}", load_judgements(config.path), config.judge)


def _utility(name: str) -> Utility:
    """A family's utility, which is in [0, 1], in points of 0 to 10."""
    if name == OWN_FAMILY:
        return lambda task, trajectory: 10 * family(task.family).utility(task, trajectory.answer)
    known = family(name)
    return lambda task, trajectory: 10 * known.utility(task, trajectory.answer)
