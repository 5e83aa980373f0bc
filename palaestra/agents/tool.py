"""What a model may call: typed Python functions, and the tools of MCP servers."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Protocol

from pydantic import PydanticUserError, TypeAdapter, validate_call

from palaestra.core.chat import ToolSpec
from palaestra.core.errors import ConfigError
from palaestra.core.places import load
from palaestra.core.record import Record


class Tool(Protocol):
    name: str
    signature: str
    """As a Python programmer reads it: `search(query: str) -> str`."""
    description: str
    parameters: Mapping[str, Any]
    """JSON schema of an object with the arguments by name."""

    async def call(self, *arguments: Any, **named: Any) -> Any:
        """The tool's result; its failures are raised."""
        ...


class FunctionTool:
    """A Python function: its signature and docstring are its description, and values are checked against its
    types. It may be a coroutine function; others run in a thread."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name = name
        self.signature = f"{name}{inspect.signature(function, eval_str=True)}"
        self.description = " ".join((inspect.getdoc(function) or "").split())
        schema: TypeAdapter[Any] = TypeAdapter(function)  # type: ignore[arg-type]  # it takes functions too
        self.parameters: Mapping[str, Any] = schema.json_schema()
        self._is_async = inspect.iscoroutinefunction(function)
        self._function = validate_call(function)

    async def call(self, *arguments: Any, **named: Any) -> Any:
        if self._is_async:
            return await self._function(*arguments, **named)
        return await asyncio.to_thread(self._function, *arguments, **named)


class McpServer(Record):
    """A server of the Model Context Protocol; give a command or a URL."""

    command: tuple[str, ...] = ()
    """Program and arguments of a server that speaks over its standard streams; it runs as long as a
    trajectory, with the user's rights."""
    url: str | None = None
    """Of a server that speaks Streamable HTTP."""


class ToolConfig(Record):
    """The tools of an agent beside its own."""

    functions: tuple[str, ...] = ()
    """Python functions, each as `module:function`; they run outside the sandbox."""
    mcp: tuple[McpServer, ...] = ()
    """Servers whose tools are all offered."""


class ToolBox:
    """The tools of a configuration and of a caller, opened anew for each trajectory."""

    def __init__(self, config: ToolConfig, functions: Mapping[str, Callable[..., Any]] | None = None) -> None:
        """
        Raises:
            ConfigError: a function cannot be found, or the package of an extra is missing.
        """
        self._servers = config.mcp
        found = {place.rpartition(":")[2]: _load(place) for place in config.functions} | dict(functions or {})
        self._functions = [_as_tool(name, function) for name, function in found.items()]
        self._connect = load("palaestra.agents.mcp_tools:connect", "an MCP server") if config.mcp else None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[dict[str, Tool]]:
        """The tools by name, while their servers are connected."""
        tools: dict[str, Tool] = {tool.name: tool for tool in self._functions}
        async with AsyncExitStack() as connections:
            for server in self._servers:
                assert self._connect is not None
                found = await connections.enter_async_context(self._connect(server))
                tools |= {tool.name: tool for tool in found}
            yield tools


class Renamed:
    """A tool by another name."""

    def __init__(self, tool: Tool, name: str) -> None:
        self.name = name
        self.signature = name + tool.signature.removeprefix(tool.name)
        self.description = tool.description
        self.parameters = tool.parameters
        self._tool = tool

    async def call(self, *arguments: Any, **named: Any) -> Any:
        return await self._tool.call(*arguments, **named)


def as_identifier(tool: Tool) -> Tool:
    """The tool under a name that Python code can use: `get-price` as `get_price`."""
    name = re.sub(r"\W", "_", tool.name)
    return tool if name == tool.name else Renamed(tool, name)


def spec(tool: Tool) -> ToolSpec:
    return ToolSpec(name=tool.name, description=tool.description, parameters=tool.parameters)


def as_arguments(tool: Tool, text: str) -> str:
    """What a model wrote between brackets, as a JSON object of arguments: that of an only parameter is the
    text as it is, unless it is such an object already."""
    names, given = _names(tool), _object(text)
    return text if len(names) != 1 or (given and list(given) == names) else json.dumps({names[0]: text})


async def observe(tool: Tool, arguments: str) -> str:
    """What a tool gives for a JSON object of arguments, as text; a failed tool is an observation."""
    result: Any
    (result,) = await asyncio.gather(_read_and_call(tool, arguments), return_exceptions=True)
    if isinstance(result, BaseException):
        return f"{tool.name} failed: {type(result).__name__}: {result}"
    return str(result)


async def _read_and_call(tool: Tool, arguments: str) -> Any:
    names, named = _names(tool), _object(arguments or "{}")
    if named is None or not set(named) <= set(names):
        raise ValueError(f"the argument must be a JSON object with {', '.join(names)}")
    return await tool.call(**named)


def _names(tool: Tool) -> list[str]:
    return list(tool.parameters.get("properties", {}))


def _object(text: str) -> dict[str, Any] | None:
    """The JSON object that a text is; None for any other text."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _as_tool(name: str, function: Callable[..., Any]) -> FunctionTool:
    try:
        return FunctionTool(name, function)
    except (ValueError, TypeError, PydanticUserError) as error:
        raise ConfigError(
            f"the tool {name} cannot be described: {error}; give it a typed signature"
        ) from error


def _load(place: str) -> Callable[..., Any]:
    try:
        function: Callable[..., Any] = load(place, f"the tool {place}")
    except (ModuleNotFoundError, AttributeError) as error:
        raise ConfigError(
            f"the tool {place} cannot be found: {error}; write it as module:function"
        ) from error
    return function
