"""The texts that agents say to models, as files that a user can read and replace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from palaestra.core.errors import ConfigError
from palaestra.core.template import render

SHIPPED = Path(__file__).with_name("prompts")
SHORT = "short"
"""The folder in `SHIPPED` with the templates for small models."""


def fill(name: str, folder: str | None, /, **values: Any) -> str:
    """The template `name`.md filled in: the one in `folder` if there is one, else the one that is shipped.

    `short` names the shipped folder of that name.

    Raises:
        ConfigError: there is no such folder, or the template cannot be read, or names what it is not given.
    """
    own = place(folder)
    file = own / f"{name}.md"
    return render(file if file.exists() else SHIPPED / file.name, **values)


def place(folder: str | None) -> Path:
    """The folder of that name, or the shipped one.

    Raises:
        ConfigError: there is no such folder.
    """
    if folder is None or folder == SHORT:
        return SHIPPED / (folder or "")
    if not Path(folder).is_dir():
        raise ConfigError(f"agent.prompts: there is no folder {folder}; give one with templates, or {SHORT}")
    return Path(folder)
