"""Any model behind OpenAI's chat completions API."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from palaestra.core.chat import Completion
from palaestra.core.errors import (
    AuthenticationFailed,
    ContextTooLong,
    ModelUnreachable,
    PalaestraError,
    RateLimited,
    RequestRejected,
    UnknownModel,
)
from palaestra.core.usage import Usage
from palaestra.models.base import Model, StreamingModel
from palaestra.models.chat_completions import ApiError, ChatRequest, progress, streamed_answer, whole_answer

REFUSALS: Mapping[type[PalaestraError], tuple[int, str]] = {
    ContextTooLong: (400, "context_length_exceeded"),
    RequestRejected: (400, "invalid_request"),
    AuthenticationFailed: (403, "upstream_authentication_failed"),
    UnknownModel: (404, "model_not_found"),
    RateLimited: (429, "rate_limit_exceeded"),
    ModelUnreachable: (503, "upstream_unreachable"),
}
"""HTTP status and code for what the model raises; any other error of ours is a 500."""


class ModelServer:
    """Serves one model under one name, and counts. Requests reach the model as they come, at the same time.

    `POST /v1/chat/completions` answers when the completion is whole. When it is asked to stream, a model that
    tells of its progress, as an agent does, is heard meanwhile. `GET /v1/models`, `GET /health`; `GET /stats`
    has the requests that arrived, the most that were under way at once, and the calls and tokens of those
    that were answered. With an `api_key`, all but /health
    want it as a bearer token. `latency` is the number of seconds before which no completion is answered.
    """

    def __init__(
        self, model: Model, served_name: str | None = None, api_key: str | None = None, latency: float = 0.0
    ) -> None:
        self.name = served_name or model.name
        self._model = model
        self._api_key = api_key
        self._latency = latency
        self._requests = 0
        self._under_way = 0
        self._most_under_way = 0
        self._usage = Usage()

    def app(self) -> Starlette:
        """The ASGI application. The model is closed when it shuts down."""
        return Starlette(
            routes=[
                Route("/v1/chat/completions", self._complete, methods=["POST"]),
                Route("/v1/models", self._list_models),
                Route("/stats", self._stats),
                Route("/health", self._health),
            ],
            exception_handlers={
                kind: _refuse for kind in (ApiError, PalaestraError, HTTPException, Exception)
            },
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        yield
        await self._model.close()

    async def _complete(self, request: Request) -> Response:
        self._requests += 1
        self._check_key(request)
        wanted = ChatRequest.parse(await request.body())
        if wanted.model != self.name:
            raise ApiError(
                404, "model_not_found", f"there is no model {wanted.model!r} here; ask {self.name!r}"
            )
        if wanted.stream and isinstance(self._model, StreamingModel):
            events = self._stream(wanted, self._model)
            return StreamingResponse(events, media_type="text/event-stream")
        completion = await self._generate(wanted, request)
        if wanted.stream:
            chunks = streamed_answer(self.name, completion, wanted.wants_usage_in_stream())
            return Response(_server_sent_events(chunks), media_type="text/event-stream")
        return JSONResponse(whole_answer(self.name, completion))

    async def _generate(self, wanted: ChatRequest, request: Request) -> Completion:
        started = time.perf_counter()
        with self._counted():
            completion = await self._generated(wanted, request)
            await asyncio.sleep(max(0.0, self._latency - (time.perf_counter() - started)))
        self._usage += completion.usage
        return completion

    async def _generated(self, wanted: ChatRequest, request: Request) -> Completion:
        """The completion; nobody goes on with it when whoever wants it has gone.

        Raises:
            ClientDisconnect
        """
        work = asyncio.ensure_future(self._model.generate(wanted.conversation(), wanted.sampling()))
        gone = asyncio.ensure_future(_until_gone(request))
        try:
            await asyncio.wait([work, gone], return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise ClientDisconnect
            return await work
        finally:
            gone.cancel()
            work.cancel()

    async def _stream(self, wanted: ChatRequest, model: StreamingModel) -> AsyncIterator[str]:
        """Progress as it happens, as `reasoning_content`; then the answer, or the error in its place."""
        try:
            with self._counted():
                async for news in model.stream(wanted.conversation(), wanted.sampling()):
                    if isinstance(news, str):
                        yield _server_sent_event(progress(self.name, news))
                        continue
                    self._usage += news.usage
                    yield _server_sent_events(
                        streamed_answer(self.name, news, wanted.wants_usage_in_stream())
                    )
        except PalaestraError as error:
            yield _server_sent_events([_refusal(error).body()])

    async def _list_models(self, request: Request) -> Response:
        self._check_key(request)
        model = {"id": self.name, "object": "model", "created": 0, "owned_by": "palaestra"}
        return JSONResponse({"object": "list", "data": [model]})

    async def _stats(self, request: Request) -> Response:
        self._check_key(request)
        return JSONResponse(
            {
                "requests": self._requests,
                "most_at_once": self._most_under_way,
                "calls": self._usage.calls,
                "tokens_in": self._usage.tokens_in,
                "tokens_out": self._usage.tokens_out,
            }
        )

    async def _health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    def _check_key(self, request: Request) -> None:
        if self._api_key is None:
            return
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode("latin-1"), self._api_key.encode()):
            raise ApiError(401, "invalid_api_key", "the key is missing or wrong; send it as a bearer token")

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._under_way += 1
        self._most_under_way = max(self._most_under_way, self._under_way)
        try:
            yield
        finally:
            self._under_way -= 1


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _server_sent_event(chunk: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(chunk)}\n\n"


def _server_sent_events(chunks: Sequence[Mapping[str, Any]]) -> str:
    """The last of an answer."""
    return "".join(map(_server_sent_event, chunks)) + "data: [DONE]\n\n"


async def _refuse(request: Request, error: Exception) -> Response:
    """Every error as OpenAI words it."""
    match error:
        case ApiError():
            refusal = error
        case PalaestraError():
            refusal = _refusal(error)
        case HTTPException():
            refusal = ApiError(
                error.status_code, "not_found", f"{request.method} {request.url.path}: {error.detail}"
            )
        case _:
            refusal = ApiError(
                500, "internal_error", "the model failed unexpectedly; see the server's own output"
            )
    return JSONResponse(refusal.body(), status_code=refusal.status)


def _refusal(error: PalaestraError) -> ApiError:
    status, code = REFUSALS.get(type(error), (500, "model_error"))
    return ApiError(status, code, str(error))
