"""Merging methods by name."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from palaestra.training.merging.base import Merge
from palaestra.training.merging.linear import Linear, LinearConfig
from palaestra.training.merging.sce_fuseai import SCEFuseAI, SCEFuseAIConfig
from palaestra.training.merging.sce_mergekit import SCEMergekit, SCEMergekitConfig
from palaestra.training.merging.task_arithmetic import TaskArithmetic, TaskArithmeticConfig


def _named(value: Any) -> Any:
    if isinstance(value, str):
        return {"name": value}
    return {"name": "sce-fuseai", **value} if isinstance(value, dict) else value


AnyMergeConfig = Annotated[
    SCEFuseAIConfig | SCEMergekitConfig | LinearConfig | TaskArithmeticConfig,
    Field(discriminator="name"),
    BeforeValidator(_named),
]
"""A bare name is enough; settings without one are those of sce-fuseai."""


def merge_method(config: AnyMergeConfig) -> Merge:
    match config:
        case SCEFuseAIConfig():
            return SCEFuseAI(config)
        case SCEMergekitConfig():
            return SCEMergekit(config)
        case LinearConfig():
            return Linear(config)
        case TaskArithmeticConfig():
            return TaskArithmetic(config)
