"""Native tool calling, as OpenAI's API has it and LiteLLM takes it for every provider."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from palaestra.core.chat import Message, Sampling, ToolCall, ToolSpec
from palaestra.core.errors import RequestRejected


def wire_message(message: Message) -> dict[str, Any]:
    wire: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        wire["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": _an_object(call.arguments)},
            }
            for call in message.tool_calls
        ]
    if message.answers_call:
        wire["tool_call_id"] = message.answers_call
    return wire


def _an_object(arguments: str) -> str:
    """Arguments as the model wrote them, if they are a JSON object: providers refuse anything else."""
    try:
        return arguments if isinstance(json.loads(arguments), dict) else "{}"
    except ValueError:
        return "{}"


def wire_tools(tools: Sequence[ToolSpec]) -> list[Mapping[str, Any]]:
    return [{"type": "function", "function": tool.model_dump(mode="json")} for tool in tools]


def refuse_tools(name: str, sampling: Sampling) -> None:
    """For models that cannot call tools natively.

    Raises:
        RequestRejected: there are tools to call.
    """
    if sampling.tools:
        raise RequestRejected(f"{name} has no native tool calling; set agent.calling=text")


def read_calls(calls: Sequence[Any] | None) -> tuple[ToolCall, ...]:
    """The calls of an answer in OpenAI's form."""
    return tuple(
        ToolCall(id=call.id, name=call.function.name or "", arguments=call.function.arguments or "{}")
        for call in calls or ()
    )
