"""`palaestra tasks`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from palaestra.cli.bench import parse_length
from palaestra.cli.options import Seed
from palaestra.core.errors import ConfigError, DataError
from palaestra.core.record import canonical_json
from palaestra.core.task import Task
from palaestra.datasets.families import (
    FAMILIES,
    LONG_CONTEXT_FAMILIES,
    PROMPT_FAMILIES,
    family,
    long_context_family,
    prompt_family,
)
from palaestra.datasets.shelf import Shelf


def tasks(
    name: Annotated[str, typer.Argument(metavar="FAMILY", help="Such as mrcr-8, name-index or trip.")],
    count: Annotated[int, typer.Option(help="How many.", min=1)] = 100,
    tokens: Annotated[str, typer.Option(metavar="TOKENS", help="Of a long context, such as 128k.")] = "8k",
    out: Annotated[Path, typer.Option(metavar="FILE", help="A .jsonl file.")] = Path("tasks.jsonl"),
    seed: Seed = None,
) -> None:
    """Generate tasks of a family as a file.

    `palaestra run --tasks FILE` runs an agent on them and scores its answers. Long contexts are written into
    the folder `contexts` beside the file.
    """
    made = _make(name, count, parse_length(tokens), Shelf(out.absolute().parent / "contexts"), seed or 0)
    try:
        out.write_text("".join(f"{canonical_json(task.model_dump(mode='json'))}\n" for task in made), "utf-8")
    except OSError as error:
        raise DataError(f"cannot write {out}: {error.strerror}; choose another --out") from error
    print(f"{len(made)} tasks: {out}")


def _make(name: str, count: int, tokens: int, shelf: Shelf, seed: int) -> list[Task]:
    if name in LONG_CONTEXT_FAMILIES:
        return long_context_family(name).tasks(count, tokens, shelf, seed)
    if name in PROMPT_FAMILIES:
        return prompt_family(name).tasks(count, seed)
    if name in FAMILIES:
        return family(name).tasks(count, "held-out", seed)
    known = sorted({*FAMILIES, *LONG_CONTEXT_FAMILIES, *PROMPT_FAMILIES})
    raise ConfigError(f"unknown task family {name!r}; there are: {', '.join(known)}")
