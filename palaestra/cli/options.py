"""The flags that verbs share, as types of their parameters."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import yaml

from palaestra import configs

RECIPES = Path(configs.__file__).parent
RUNS = Path("runs")
"""Where runs are kept unless `--out` says otherwise."""

Settings = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY.SUB=VALUE]...", help="Settings that replace those of the file.", show_default=False
    ),
]
"""For a verb without other positional arguments."""
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY.SUB=VALUE", help="Replace one setting; may be repeated.", show_default=False
    ),
]


def _or_recipe(file: Path | None) -> Path | None:
    """A file, or else the recipe of this name that comes with Palaestra."""
    if file is None or file.name != str(file) or os.path.exists(file):  # pathlib's own can raise
        return file
    recipe = RECIPES / f"{file}.yaml"
    return recipe if os.path.isfile(recipe) else file


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE|NAME",
        help="YAML file of settings, or the name of a recipe in palaestra/configs.",
        show_default=False,
        callback=_or_recipe,
    ),
]
ModelName = Annotated[
    str | None, typer.Option("--model", metavar="NAME", help="Such as openai/gpt-5.", show_default=False)
]
SubModelName = Annotated[
    str | None,
    typer.Option(
        "--sub-model",
        metavar="NAME",
        help="For the calls that an agent's code makes.",
        show_default=False,
    ),
]
Limit = Annotated[int | None, typer.Option(help="Tasks at most.", show_default=False)]
MaxCost = Annotated[
    float | None, typer.Option(help="US dollars at most, over the whole run.", show_default=False)
]
Seed = Annotated[int | None, typer.Option(help="Every random choice follows from it.", show_default=False)]
Out = Annotated[Path, typer.Option(metavar="FOLDER", help="Folder in which the run's own folder is made.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the resolved settings and stop.")]
DisplayKind = Literal["auto", "rich", "plain", "json", "none"]
Display = Annotated[
    DisplayKind, typer.Option(help="Progress on stderr; auto is rich on a terminal and plain elsewhere.")
]


def as_overrides(flags: Mapping[str, Any], *given: Sequence[str] | None) -> list[str]:
    """For `launch`: the flags that are not None as `key.sub=value`, then what the user wrote in that form."""
    written = [f"{key}={_flow_yaml(value)}" for key, value in flags.items() if value is not None]
    return written + [override for overrides in given for override in overrides or ()]


def _flow_yaml(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"))
    return text.strip().removesuffix("...").strip()
