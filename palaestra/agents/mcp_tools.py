"""The tools of MCP servers, through the protocol's own client library."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import mcp
from mcp.types import TextContent

from palaestra.agents.tool import McpServer
from palaestra.core.errors import ConfigError, PalaestraError


class McpTool:
    """One tool of a connected server."""

    def __init__(self, client: mcp.Client, tool: mcp.Tool) -> None:
        self.name = tool.name
        self.parameters = tool.input_schema
        self.description = " ".join((tool.description or "").split())
        parameters = self.parameters.get("properties", {})
        types = (f"{name}: {shape.get('type', 'any')}" for name, shape in parameters.items())
        self.signature = f"{self.name}({', '.join(types)})"
        self._client = client

    async def call(self, *arguments: Any, **named: Any) -> Any:
        """
        Raises:
            RuntimeError: the server says that the call failed.
        """
        positional = zip(self.parameters.get("properties", {}), arguments, strict=False)
        result = await self._client.call_tool(self.name, {**dict(positional), **named})
        text = "\n".join(part.text for part in result.content if isinstance(part, TextContent))
        if result.is_error:
            raise RuntimeError(text)
        return text


@asynccontextmanager
async def connect(server: McpServer) -> AsyncIterator[list[McpTool]]:
    """The tools of a server while it is connected.

    Raises:
        ConfigError: it cannot be reached or does not speak the protocol.
    """
    if (server.url is None) == (not server.command):
        raise ConfigError("an MCP server needs either a command or a url")
    name = server.url or " ".join(server.command)
    place = server.url or mcp.StdioServerParameters(command=server.command[0], args=list(server.command[1:]))
    ended_by: PalaestraError | None = None
    async with AsyncExitStack() as connection:
        try:
            client = await connection.enter_async_context(mcp.Client(place))
            tools = (await client.list_tools()).tools
        except (OSError, mcp.MCPError, ExceptionGroup) as error:
            raise ConfigError(
                f"the MCP server {name} cannot be used: {error}; start it by hand to see why"
            ) from error
        try:
            yield [McpTool(client, tool) for tool in tools]
        except PalaestraError as error:
            ended_by = error
    # Raised out here, because the client's task group would wrap it.
    if ended_by is not None:
        raise ended_by
