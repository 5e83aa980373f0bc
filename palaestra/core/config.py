"""YAML files and dotted overrides, resolved into one validated configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError

from palaestra.core.config_errors import Keys, explain
from palaestra.core.errors import ConfigError
from palaestra.core.record import Record

C = TypeVar("C", bound=BaseModel)


def resolve(schema: type[C], file: Path | None, overrides: Iterable[str] = ()) -> C:
    """The configuration that `file` describes, with `key.sub=value` overrides on top.

    Values of overrides are YAML, so `steps=10`, `seed=null` and `wishes=[park, food]` mean what they say.

    Raises:
        ConfigError: an unreadable file, an unknown key (with the nearest known one) or a bad value.
    """
    values = read_yaml(file) if file else {}
    overridden = []
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise ConfigError(f"override {override!r} is not of the form key.sub=value")
        path = tuple(key.split("."))
        _assign(values, path, _parse_yaml(text, f"the override {override!r}"))
        overridden.append(path)

    def source(path: Keys) -> str:
        """Where a setting, or something within it, was given last."""
        on_command_line = any(path[: len(key)] == key[: len(path)] for key in overridden)
        if file is None or (path and on_command_line):
            return "the command line"
        return f"{file} and the command line" if on_command_line else str(file)

    return _validated(schema, values, source)


def read_yaml(file: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds; an empty file is an empty mapping."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is no UTF-8 text (byte {error.start}); convert it first") from error
    values = _parse_yaml(text, str(file))
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{file} holds a {type(values).__name__}; it must be a mapping of settings")
    return values


def to_yaml(config: BaseModel) -> str:
    """`config` as a YAML file that `resolve` reads back."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def validate(schema: type[C], values: Mapping[str, Any], source: str) -> C:
    """`values` as a `schema`, or a ConfigError whose one line names every bad setting."""
    return _validated(schema, values, lambda path: source)


def _validated(schema: type[C], values: Mapping[str, Any], source: Callable[[Keys], str]) -> C:
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise ConfigError(explain(schema, values, error, source)) from error


def _parse_yaml(text: str, source: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{source} is not valid YAML: {' '.join(str(error).split())}") from error


def _assign(values: dict[str, Any], path: Keys, value: Any) -> None:
    *parents, last = path
    for parent in parents:
        child = values.setdefault(parent, {})
        if isinstance(child, str):  # `model: openai/gpt-5` is short for a group with that name
            child = values[parent] = {"name": child}
        if not isinstance(child, dict):
            raise ConfigError(
                f"override {'.'.join(path)!r} goes into {parent!r}, which is not a group of settings"
            )
        values = child
    values[last] = value


class VerbConfig(Record):
    """What `run`, `judge` and `train` have in common."""

    seed: int = 0
    """Every random choice of the run follows from it."""
    limit: int | None = Field(default=None, ge=1)
    """Tasks at most; null takes all."""
    max_cost: float | None = Field(default=None, ge=0)
    """US dollars over the whole run; 0 allows what is free. At the limit no call is made any more, the run
    stops with what it has, and it can be resumed with a higher one."""
    concurrency: int = Field(default=16, ge=1)
    """Trajectories or judge calls under way at once."""
