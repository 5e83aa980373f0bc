"""The texts that agents say to models, as files that a user can read and replace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from palaestra.core.template import render

SHIPPED = Path(__file__).with_name("prompts")
SHORT = "short"
"""The folder in `SHIPPED` with the templates for small models."""


def fill(name: str, folder: str | None, /, **values: Any) -> str:
    """The template `name`.md filled in: the one in `folder` if there is one, else the one that is shipped.

    `short` names the shipped folder of that name.

    Raises:
        ConfigError: the template cannot be read or names a value that it is not given.
    """
    own = SHIPPED / SHORT if folder == SHORT else SHIPPED if folder is None else Path(folder)
    file = own / f"{name}.md"
    return render(file if file.exists() else SHIPPED / file.name, **values)
