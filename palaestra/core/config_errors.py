"""What is wrong with settings, in plain words: which one, what was given, what is allowed, and where."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

Keys = tuple[str, ...]
"""The keys down to a setting."""

_VALUES = reprlib.Repr()
_VALUES.maxstring = _VALUES.maxother = 80


def explain(
    schema: type[BaseModel], values: Any, error: ValidationError, source: Callable[[Keys], str]
) -> str:
    """One line that names every bad setting. `source` tells where the setting at a path comes from; the empty
    path stands for several settings that do not go together."""
    problems = [
        (source(path), _explain(schema, problem, path))
        for problem in error.errors()
        for path in [_path(problem, values)]
    ]
    return "; ".join(
        f"{place}: {'; '.join(text for _, text in told)}" for place, told in groupby(problems, itemgetter(0))
    )


def known_keys(schema: type[BaseModel], prefix: str = "") -> list[str]:
    """Every dotted key of `schema`, groups included."""
    keys: list[str] = []
    for name, field in schema.model_fields.items():
        keys.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys += known_keys(field.annotation, f"{prefix}{name}.")
    return keys


def _path(problem: Mapping[str, Any], values: Any) -> Keys:
    """The keys as the user wrote them: the name by which pydantic chose a kind of settings is none."""
    found: list[str] = []
    for part in problem["loc"]:
        if (isinstance(values, dict) and part in values) or (
            isinstance(values, list) and part in range(len(values))
        ):
            found.append(str(part))
            values = values[part]
    match problem["type"]:
        case "missing":
            found.append(problem["loc"][-1])
        case "union_tag_invalid" | "union_tag_not_found":
            found.append(problem["ctx"]["discriminator"].strip("'"))
    return tuple(found)


def _explain(schema: type[BaseModel], problem: Mapping[str, Any], path: Keys) -> str:
    key = ".".join(path)
    match problem["type"]:
        case "missing" | "union_tag_not_found":
            return f"the setting {key!r} is missing; give it in the file, as a flag or as {key}=…"
        case "extra_forbidden":
            near = _nearest(schema, problem["loc"], path)
            return f"unknown setting {key!r}" + (
                f", did you mean {near!r}?" if near else "; --dry-run prints the known ones"
            )
        case "value_error":
            return f"{key}: {problem['ctx']['error']}" if path else str(problem["ctx"]["error"])
        case "union_tag_invalid":
            tag, known = problem["ctx"]["tag"], problem["ctx"]["expected_tags"]
            similar = difflib.get_close_matches(tag, re.findall("'([^']*)'", known), n=1)
            meant = f"; did you mean {similar[0]!r}?" if similar else ""
            return f"{key} is {tag!r}, but should be one of {known}{meant}"
    _, should, rule = problem["msg"].partition(" should ")
    rule = re.sub("(, unable|, got| after validation).*", "", rule)
    rule = re.sub("a valid dictionary.*", "a group of settings", rule)
    given = _VALUES.repr(problem["input"])
    return f"{key} is {given}, but should {rule}" if should else f"{key} is {given}: {problem['msg']}"


def _nearest(schema: type[BaseModel], place: Sequence[str | int], path: Keys) -> str | None:
    """The known key that was meant: a similar one of the same group, or one of the same name elsewhere."""
    *parents, name = path
    groups = [schema]
    for part in place[:-1]:
        inner = [each.model_fields[part].annotation for each in groups if part in each.model_fields]
        if inner:
            groups = [group for annotation in inner for group in _groups(annotation)]
        elif len(groups) > 1:
            groups = [each for each in groups if any(f.default == part for f in each.model_fields.values())]
    siblings = [key for group in groups for key in group.model_fields]
    if near := difflib.get_close_matches(name, siblings, n=1):
        return ".".join([*parents, *near])
    return next((key for key in known_keys(schema) if key.split(".")[-1] == name), None)


def _groups(annotation: Any) -> list[type[BaseModel]]:
    """The groups of settings that a field may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [group for part in get_args(annotation) for group in _groups(part)]
