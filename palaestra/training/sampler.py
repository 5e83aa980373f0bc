"""Drawing rollouts from vLLM: an engine with a copy of the policy, renewed after every update."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol, Self, cast

from pydantic import model_validator

from palaestra.models.base import Model
from palaestra.models.config import ModelConfig
from palaestra.models.hf import HFModel
from palaestra.models.registry import load_model
from palaestra.models.vllm_server import PREFIX, VLLMServer
from palaestra.training.checkpoint import save_policy

ENGINE = ("name", "concurrency", "engine")
SERVER = ("name", "concurrency", "api_base", "api_key_variable", "timeout", "retries")
"""Settings that a sampler heeds; weights, their type and the window are the policy's."""
FOLDER = "sampler"
"""The run's subfolder through which weights go to the engine."""


class Reloadable(Model, Protocol):
    """A model that can take the weights of another checkpoint."""

    async def reload(self, folder: Path) -> None: ...


class SamplerConfig(ModelConfig):
    """`vllm/policy` is an engine that is started here, `hosted_vllm/<served name>` with an `api_base` a
    server that sees the run's folder."""

    @model_validator(mode="after")
    def _takes_weights(self) -> Self:
        if self.name != "vllm/policy" and not (self.name.startswith(PREFIX) and self.api_base):
            raise ValueError(
                f"{self.name} cannot draw for the policy; give vllm/policy, or {PREFIX}<served name> with an "
                "api_base"
            )
        heeded = SERVER if self.name.startswith(PREFIX) else ENGINE
        for name, field in type(self).model_fields.items():
            if name not in heeded and getattr(self, name) != field.default:
                raise ValueError(f"sampler.{name} has no effect on {self.name}; leave it out")
        return self


class Sampler:
    """An engine that answers in the policy's place."""

    def __init__(self, policy: HFModel, model: Reloadable, folder: Path) -> None:
        self.model = model
        self._policy = policy
        self._folder = folder

    async def follow(self) -> None:
        """Give the engine the weights that the policy has now."""
        save_policy(self._folder, self._policy)
        await self.model.reload(self._folder)


@asynccontextmanager
async def open_sampler(config: SamplerConfig, policy: HFModel, folder: Path) -> AsyncIterator[Sampler]:
    """Start the engine `vllm/policy`, or reach the server `hosted_vllm/<name>`, and give it the policy.

    Raises:
        ConfigError: the engine cannot be started, or cannot take new weights.
        ModelError: the server does not take them.
    """
    save_policy(folder, policy)
    model = _reached(config, policy, folder)
    try:
        await model.reload(folder)
        yield Sampler(policy, model, folder)
    finally:
        await model.close()


def _reached(config: SamplerConfig, policy: HFModel, folder: Path) -> Reloadable:
    if config.name.startswith(PREFIX):
        return VLLMServer(config, policy.tokenizer, policy.context_window)
    changes = {
        "name": f"vllm/{folder}",
        "dtype": str(policy.module.dtype).removeprefix("torch."),
        "context_window": policy.context_window,
    }
    model = cast(Reloadable, load_model(config.model_copy(update=changes)))
    model.name = policy.name
    return model
