"""Answers that are JSON of a given schema."""

from __future__ import annotations

import json

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match

from palaestra.core.errors import DataError
from palaestra.core.task import Task


def problem_with(answer: str, task: Task) -> str:
    """What keeps an answer from fitting the task's schema, in one line; empty when it fits or there is none.

    Raises:
        DataError: the task's `answer_schema` is no JSON schema.
    """
    if task.answer_schema is None:
        return ""
    try:
        Draft202012Validator.check_schema(task.answer_schema)
    except SchemaError as error:
        raise DataError(f"the answer_schema of task {task.id} is no JSON schema: {error.message}") from error
    try:
        value = json.loads(answer)
    except ValueError as error:
        return f"it is no JSON ({error})"
    problem = best_match(Draft202012Validator(task.answer_schema).iter_errors(value))
    return "" if problem is None else f"{problem.json_path}: {problem.message}"
