"""`palaestra merge`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from palaestra.cli.options import Overrides, as_overrides
from palaestra.core.config import resolve
from palaestra.training.merging.folders import MergeConfig, merge_folders


def merge(
    base: Annotated[Path, typer.Argument(help="Folder of the model that the experts were trained from.")],
    experts: Annotated[list[Path], typer.Argument(metavar="EXPERT...", help="Folders of trained models.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the merged model goes.")],
    method: Annotated[
        str | None,
        typer.Option(help="sce-fuseai, sce-mergekit, linear or task-arithmetic.", show_default="sce-fuseai"),
    ] = None,
    changes: Overrides = None,
) -> None:
    """Merge policies that were trained from one base.

    The result is a model in the Hugging Face layout, with the base's tokenizer; its name is printed.
    `--set method.density=0.5` and `--set 'method.weights=[1, -0.5]'` are settings of the methods.
    """
    flags = {"base": str(base), "experts": [str(expert) for expert in experts], "method.name": method}
    merge_folders(resolve(MergeConfig, None, as_overrides(flags, changes)), out)
    print(f"hf/{out}")
