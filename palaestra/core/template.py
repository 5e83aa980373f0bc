"""Prompts are Jinja templates, one file each, so that a user can read and replace them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2

from palaestra.core.errors import ConfigError

_ENVIRONMENT = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def render(file: Path, **values: Any) -> str:
    """The text of a template file with `values` filled in; surrounding white space is dropped.

    Values are inserted as they are and never read as a template themselves.

    Raises:
        ConfigError: the file cannot be read, is no valid template, or names a value that is not given.
    """
    try:
        return _template(file).render(values).strip()
    except OSError as error:
        raise ConfigError(f"cannot read the prompt {file}: {error.strerror}; check the path") from error
    except jinja2.TemplateError as error:
        raise ConfigError(f"the prompt {file} cannot be filled in: {error.message}") from error


@lru_cache
def _template(file: Path) -> jinja2.Template:
    """Compiled once in a process: compiling takes longer than filling in."""
    return _ENVIRONMENT.from_string(file.read_text(encoding="utf-8"))
