"""Typed Python functions as tools of a model that speaks text."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable
from typing import Any

from pydantic import validate_call


class Tool:
    """A function that a model calls with one text; its signature and docstring are its description.

    A function of one parameter takes the text as it is, any other a JSON object with its parameters. Values
    are checked against the function's types. It may be a coroutine function; others run in a thread.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        signature = inspect.signature(function, eval_str=True)
        self.name = name
        self.signature = f"{name}{signature}"
        self.description = " ".join((inspect.getdoc(function) or "").split())
        self._takes_text = len(signature.parameters) == 1
        self._is_async = inspect.iscoroutinefunction(function)
        self._function = validate_call(function)

    async def __call__(self, argument: str) -> str:
        """What the function returns, as text, or what it failed with: a failed tool is an observation."""
        (result,) = await asyncio.gather(self._call(argument), return_exceptions=True)
        if isinstance(result, BaseException):
            return f"{self.name} failed: {type(result).__name__}: {result}"
        return str(result)

    async def _call(self, argument: str) -> object:
        values = {} if self._takes_text else json.loads(argument or "{}")
        texts = [argument] if self._takes_text else []
        if self._is_async:
            return await self._function(*texts, **values)
        return await asyncio.to_thread(self._function, *texts, **values)
