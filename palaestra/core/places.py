"""Finding what stands at `module:name`, where nothing should be imported before it is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from palaestra.core.errors import ConfigError

EXTRAS: Mapping[str, str] = {
    "torch": "train",
    "transformers": "train",
    "tokenizers": "train",
    "safetensors": "train",
    "peft": "train",
    "accelerate": "train",
    "vllm": "vllm",
    "tensorboard": "tensorboard",
    "wandb": "wandb",
    "docker": "docker",
    "mcp": "mcp",
}
"""Libraries that may be missing, and the extra that brings them."""


def load(place: str, user: str) -> Any:
    """What stands at `place`, for `user`, whose name is told when a library is missing.

    Raises:
        ConfigError: it needs a library of an extra that is not installed.
    """
    module, _, name = place.partition(":")
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        extra = EXTRAS.get(error.name or "")
        if extra is None:
            raise
        raise ConfigError(
            f"{user} needs {error.name}, which is not installed: pip install 'palaestra[{extra}]'"
        ) from error
