"""Rubrics: what a judge looks for, by dimension and weight, in YAML."""

from __future__ import annotations

from pathlib import Path

from palaestra import configs
from palaestra.core.config import resolve
from palaestra.core.errors import ConfigError
from palaestra.core.task import DEFAULT_RUBRIC, Rubric

SHIPPED = Path(configs.__file__).with_name("rubrics")


def load_rubric(name: str | None) -> Rubric:
    """The rubric in the YAML file `name`, or the shipped one of that name; None is the default rubric.

    Raises:
        ConfigError: there is no such rubric, or it cannot be read.
    """
    if name is None:
        return DEFAULT_RUBRIC
    if Path(name).suffix:
        return resolve(Rubric, Path(name))
    shipped = {file.stem: file for file in SHIPPED.glob("*.yaml")}
    if name not in shipped:
        raise ConfigError(
            f"there is no rubric {name!r}; give a .yaml file or one of {', '.join(sorted(shipped))}"
        )
    return resolve(Rubric, shipped[name])
