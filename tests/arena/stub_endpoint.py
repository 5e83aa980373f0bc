"""An endpoint that fails in every way in which endpoints fail."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections import Counter

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from palaestra.core.chat import Message, Sampling
from palaestra.models.programs.judge import judge

FAULTS = {"429": 10, "500": 5, "time-out": 5, "garbage": 5, "dropped": 1}
"""Of a hundred requests."""
SECONDS = 3.0
"""What a time-out takes unless the other side gives up."""


class StubEndpoint:
    """OpenAI's chat completions with the scripted judge behind them, and faults in front, in a fixed order.

    A request in which `poison` occurs meets a 500 every time.
    """

    def __init__(self, poison: str = "no such text") -> None:
        self.met: Counter[str] = Counter()
        """Faults, and `answer` for what went well."""
        self._poison = poison.encode()
        fates = [fault for fault, number in FAULTS.items() for _ in range(number)]
        fates += ["answer"] * (100 - len(fates))
        self._fates = itertools.cycle(random.Random(0).sample(fates, len(fates)))

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/v1/chat/completions", self._complete, methods=["POST"])])

    async def _complete(self, request: Request) -> Response:
        body = await request.body()
        fate = "500" if self._poison in body else next(self._fates)
        self.met[fate] += 1
        match fate:
            case "429":
                headers = {"Retry-After": "0.2"}
                return JSONResponse({"error": {"message": "slow down"}}, status_code=429, headers=headers)
            case "500":
                return JSONResponse({"error": {"message": "out of order"}}, status_code=500)
            case "time-out":
                await asyncio.sleep(SECONDS)
                return Response(status_code=504)
            case "garbage":
                return _GARBAGE[self.met[fate] % len(_GARBAGE)]
            case "dropped":
                return _Dropped()
        messages = [Message.model_validate(each) for each in json.loads(body)["messages"]]
        return _completion(judge(messages, Sampling()))


def _completion(text: str) -> Response:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    return JSONResponse(
        {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": "judge",
            "choices": [choice],
            "usage": usage,
        }
    )


_GARBAGE = (
    _completion('I think that B is better: {"scores": {"A": 11}}'),
    _completion(""),
    Response("<html>Welcome to nginx!</html>", media_type="text/html"),
)


class _Dropped(Response):
    """Promises a body and breaks off before its end."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"id": "1", "cho', "more_body": True})
