"""From a model's name to the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from palaestra.core.errors import ConfigError
from palaestra.core.places import load
from palaestra.models.base import Model
from palaestra.models.cached import CachedModel
from palaestra.models.config import ModelConfig
from palaestra.models.repeated import RepeatedModel
from palaestra.models.tokens import cutter_for
from palaestra.store.cache import ResponseCache

LOCAL_BACKENDS: Mapping[str, str] = {
    "hf": "palaestra.models.hf:HFModel",
    "vllm": "palaestra.models.vllm_model:VLLMModel",
    "tiny": "palaestra.models.tiny:TinyModel",
    "scripted": "palaestra.models.scripted:ScriptedModel",
    "replay": "palaestra.models.replay:ReplayModel",
    "estimate": "palaestra.models.estimate:EstimatingModel",
}
"""The first part of a name, and the class behind it. Every other name goes to LiteLLM."""

REMOTE_BACKEND = "palaestra.models.litellm_model:LiteLLMModel"
CONTRASTIVE = "palaestra.models.contrastive:ContrastiveModel"


class Backend(Protocol):
    """A class of models, each made from its configuration."""

    def from_config(self, config: ModelConfig) -> Model: ...


def load_model(config: ModelConfig, cache: ResponseCache | None = None) -> Model:
    """The model that `config` names; its module is imported now, not before.

    With a `cache`, the answers of a remote model are stored in it and found again. Local models are not
    cached, since they cost no money; wrap one in `CachedModel` to record it.

    Raises:
        ConfigError: there is no such backend or model, or what it needs is not installed or not set.
    """
    prefix, _, rest = config.name.partition("/")
    if not prefix or not rest:
        raise ConfigError(
            f"the model name {config.name!r} is not of the form backend/model; write "
            f"{', '.join(f'{name}/…' for name in LOCAL_BACKENDS)} or a provider's, such as openai/gpt-5"
        )
    place = LOCAL_BACKENDS.get(prefix, REMOTE_BACKEND)
    if config.contrast is not None and prefix != "estimate":
        place = CONTRASTIVE
    backend: Backend = load(place, f"the model {config.name}")
    model = backend.from_config(config)
    if cache is not None and prefix not in LOCAL_BACKENDS:
        model = CachedModel(model, cache, config.api_base)
    if config.repeat == "none":
        return model
    return RepeatedModel(model, config.repeat, cutter_for(config.name).count)


def calls_tools(config: ModelConfig) -> bool:
    """Whether the model is known to call tools natively.

    Local models do not, and what is served at an address of one's own may only bear a known name.

    Raises:
        ConfigError: what tells it is not installed.
    """
    if config.api_base is not None or config.name.partition("/")[0] in LOCAL_BACKENDS:
        return False
    known: Callable[[str], bool] = load(
        "palaestra.models.litellm_model:calls_tools", f"the model {config.name}"
    )
    return known(config.name)
