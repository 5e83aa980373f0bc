"""The messages of OpenAI's chat completions API, as far as a `Model` can answer them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import uuid4

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from palaestra.core.chat import Completion, Message, Sampling
from palaestra.core.usage import Usage

WITHOUT_EFFECT = frozenset(
    {
        "user",
        "metadata",
        "store",
        "service_tier",
        "safety_identifier",
        "prompt_cache_key",
        "parallel_tool_calls",
    }
)
"""Fields that need no answer, and change none."""


class ApiError(Exception):
    """A refusal: HTTP status, OpenAI's code for it, and a message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    def body(self) -> dict[str, Any]:
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {"error": {"message": str(self), "type": kind, "param": None, "code": self.code}}


def _join_parts(content: Any) -> Any:
    """Content may come as a list of parts: texts are joined, the rest is left for validation to refuse."""
    if isinstance(content, list) and all(isinstance(part, dict) and "text" in part for part in content):
        return "".join(str(part["text"]) for part in content)
    return content


class ChatMessage(BaseModel):
    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str, BeforeValidator(_join_parts)]

    def message(self) -> Message:
        return Message(role="system" if self.role == "developer" else self.role, content=self.content)


class StreamOptions(BaseModel):
    include_usage: bool = False


class ChatRequest(BaseModel):
    """A request. Other fields are refused unless they are empty or zero: no wish is silently ignored."""

    model_config = ConfigDict(extra="allow")

    model: str
    messages: list[ChatMessage] = Field(min_length=1)
    temperature: float | None = Field(default=None, ge=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    stop: str | list[str] | None = None
    seed: int | None = None
    n: int | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @classmethod
    def parse(cls, body: bytes) -> ChatRequest:
        """Read a request.

        Raises:
            ApiError: 400, with what is wrong with it.
        """
        try:
            request = cls.model_validate_json(body)
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(str(part) for part in problem["loc"]) or "the body"
            raise ApiError(400, "invalid_request", f"{where}: {problem['msg']}") from error
        if (request.n or 1) != 1:
            raise ApiError(
                400, "unsupported_value", "n: only 1 is supported; send the request as often as needed"
            )
        for field, value in (request.model_extra or {}).items():
            if value and field not in WITHOUT_EFFECT:
                raise ApiError(
                    400, "unsupported_parameter", f"{field}: not supported by this server; leave it out"
                )
        return request

    def conversation(self) -> Sequence[Message]:
        return [message.message() for message in self.messages]

    def sampling(self) -> Sampling:
        stops = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return Sampling(
            temperature=1.0 if self.temperature is None else self.temperature,
            top_p=1.0 if self.top_p is None else self.top_p,
            max_tokens=self.max_completion_tokens or self.max_tokens,
            stop=tuple(stops),
            seed=self.seed,
        )

    def wants_usage_in_stream(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


def whole_answer(model: str, completion: Completion) -> dict[str, Any]:
    """The body of an answer that is not streamed."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": completion.text},
        "logprobs": None,
        "finish_reason": completion.finish_reason,
    }
    return _head(model, "chat.completion") | {"choices": [choice], "usage": _usage(completion.usage)}


def streamed_answer(model: str, completion: Completion, with_usage: bool) -> list[dict[str, Any]]:
    """The same in chunks: the text, how it ended, and the usage if wanted."""
    head = _head(model, "chat.completion.chunk")
    text = {"role": "assistant", "content": completion.text}
    chunks = [
        head | {"choices": [{"index": 0, "delta": text, "finish_reason": None}]},
        head | {"choices": [{"index": 0, "delta": {}, "finish_reason": completion.finish_reason}]},
    ]
    if with_usage:
        chunks.append(head | {"choices": [], "usage": _usage(completion.usage)})
    return chunks


def progress(model: str, text: str) -> dict[str, Any]:
    """A chunk that tells what is being done before the answer is there, in the field for reasoning."""
    delta = {"role": "assistant", "reasoning_content": f"{text}\n"}
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    return _head(model, "chat.completion.chunk") | {"choices": [choice]}


def _head(model: str, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{uuid4().hex}", "object": kind, "created": int(time.time()), "model": model}


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.tokens_in,
        "completion_tokens": usage.tokens_out,
        "total_tokens": usage.tokens,
        "prompt_tokens_details": {"cached_tokens": usage.tokens_cached},
    }
