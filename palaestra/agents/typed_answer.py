"""Answers that are JSON of a given schema."""

from __future__ import annotations

import json

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match
from referencing import Registry
from referencing.exceptions import Unresolvable

from palaestra.core.errors import DataError
from palaestra.core.task import Task


def problem_with(answer: str, task: Task) -> str:
    """What keeps an answer from fitting the task's schema, in one line; empty when it fits or there is none.

    Nothing is fetched for a schema that refers to others.

    Raises:
        DataError: the task's `answer_schema` is no JSON schema, or refers to what is not in it.
    """
    if task.answer_schema is None:
        return ""
    try:
        Draft202012Validator.check_schema(task.answer_schema)
        value = json.loads(answer)
        checked = Draft202012Validator(task.answer_schema, registry=Registry())
        problem = best_match(checked.iter_errors(value))
    except SchemaError as error:
        raise DataError(f"the answer_schema of task {task.id} is no JSON schema: {error.message}") from error
    except Unresolvable as error:
        raise DataError(
            f"the answer_schema of task {task.id} refers to what is not in it: {error}"
        ) from error
    except RecursionError:
        return "it is nested too deeply"
    except ValueError as error:
        return f"it is no JSON ({error})"
    return "" if problem is None else f"{problem.json_path}: {problem.message}"
