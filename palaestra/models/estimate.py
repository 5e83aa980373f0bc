"""What a model would cost at most, before it is asked anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

from pydantic import BaseModel

from palaestra.core.chat import Completion, Message, Sampling
from palaestra.core.usage import Usage
from palaestra.models.base import Model
from palaestra.models.config import ModelConfig
from palaestra.models.registry import load_model

B = TypeVar("B", bound=BaseModel)

BYTES_PER_TOKEN = 3
"""Of UTF-8: English has four or more, code and most other scripts at least about three."""
HEAVY_BACKENDS = ("hf", "tiny", "vllm")
"""Models that are not made for an estimate: they cost no money, and take time and memory."""
LONGEST_ANSWER = 4096
"""Tokens that an answer without a limit of its own is taken for."""


@runtime_checkable
class Priced(Protocol):
    """A model that knows its prices."""

    def price(self, tokens_in: int, tokens_out: int) -> float | None:
        """US dollars; None when unknown."""
        ...


class EstimatingModel:
    """Answers nothing, and accounts for the longest answer that was allowed: `estimate/<model>`.

    It asks nobody and needs no key but the one that is named in the configuration.
    """

    def __init__(self, name: str, model: Model | None = None) -> None:
        self.name = name
        self.context_window: int | None = None
        self._model = model

    @classmethod
    def from_config(cls, config: ModelConfig) -> Self:
        """
        Raises:
            ConfigError: as for the model itself, but that weights are not loaded.
        """
        name = config.name.partition("/")[2]
        if name.partition("/")[0] in HEAVY_BACKENDS:
            return cls(name)
        return cls(name, load_model(config.model_copy(update={"name": name, "repeat": "none"})))

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        tokens_in = sum(-(-len(message.content.encode()) // BYTES_PER_TOKEN) for message in messages)
        tokens_out = sampling.max_tokens or LONGEST_ANSWER
        cost = self._model.price(tokens_in, tokens_out) if isinstance(self._model, Priced) else 0.0
        usage = Usage(calls=1, tokens_in=tokens_in, tokens_out=tokens_out, cost=cost)
        return Completion(text="", finish_reason="length", usage=usage)

    async def close(self) -> None:
        """There is nothing to release: no connection was opened."""


def estimating(settings: B) -> B:
    """The same settings, with every model in them replaced by its `EstimatingModel`."""

    def replace(value: Any) -> Any:
        if isinstance(value, ModelConfig):
            return value.model_copy(update={"name": f"estimate/{value.name}"})
        if isinstance(value, BaseModel):
            return estimating(value)
        return tuple(map(replace, value)) if isinstance(value, tuple) else value

    return settings.model_copy(
        update={name: replace(getattr(settings, name)) for name in type(settings).model_fields}
    )


def check_models(settings: BaseModel) -> None:
    """See that every model in the settings can be made.

    Raises:
        ConfigError: one cannot. Weights are not loaded to see that, and nobody is asked.
    """
    for _, value in settings:
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, ModelConfig):
                load_model(each.model_copy(update={"name": f"estimate/{each.name}"}))
            elif isinstance(each, BaseModel):
                check_models(each)
