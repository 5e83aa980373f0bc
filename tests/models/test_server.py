from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import openai
import pytest
from starlette.applications import Starlette

from palaestra.core.chat import Completion, Message, Sampling
from palaestra.core.errors import (
    AuthenticationFailed,
    ModelError,
    ModelUnreachable,
    PalaestraError,
    RateLimited,
    RequestRejected,
    StoreError,
)
from palaestra.core.usage import Usage
from palaestra.models.programs.echo import echo
from palaestra.models.scripted import ScriptedModel
from palaestra.models.server import ModelServer

Serve = Callable[[Starlette], str]


class Gathering:
    """Answers nobody before `size` calls are under way at once, and keeps what it was asked."""

    name = "test/gathering"
    context_window: int | None = None

    def __init__(self, size: int = 1) -> None:
        self.asked: list[tuple[Sequence[Message], Sampling]] = []
        self.closed = False
        self._complete = asyncio.Event()
        self._size = size

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        self.asked.append((messages, sampling))
        if len(self.asked) == self._size:
            self._complete.set()
        await self._complete.wait()
        usage = Usage(calls=1, tokens_in=5, tokens_out=2, tokens_cached=1)
        return Completion(text="all here", finish_reason="length", usage=usage)

    async def close(self) -> None:
        self.closed = True


class Failing(Gathering):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        raise self._error


def echo_server(**settings: Any) -> Starlette:
    return ModelServer(ScriptedModel("scripted/echo", echo), **settings).app()


def request(**fields: Any) -> dict[str, Any]:
    return {"model": "scripted/echo", "messages": [{"role": "user", "content": "one two"}], **fields}


def post(address: str, **fields: Any) -> httpx.Response:
    return httpx.post(f"{address}/v1/chat/completions", json=request(**fields), timeout=300)


def test_the_openai_client_gets_text_and_usage_whole_and_streamed(serve: Serve) -> None:
    with openai.OpenAI(base_url=f"{serve(echo_server())}/v1", api_key="any", max_retries=0) as client:
        whole = client.chat.completions.create(**request())
        chunks = list(
            client.chat.completions.create(**request(stream=True, stream_options={"include_usage": True}))
        )
        bare = list(client.chat.completions.create(**request(stream=True)))
        assert [model.id for model in client.models.list()] == ["scripted/echo"]
    assert (whole.choices[0].message.content, whole.choices[0].finish_reason) == ("one two", "stop")
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens, whole.usage.total_tokens) == (2, 2, 4)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == "one two"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert all(chunk.usage is None for chunk in bare)
    assert len({chunk.id for chunk in chunks}) == 1


def test_every_setting_reaches_the_model(serve: Serve) -> None:
    model = Gathering()
    address = serve(ModelServer(model, "m").app())
    messages = [
        {"role": "developer", "content": "be brief"},
        {"role": "assistant", "content": "yes"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
    ]
    settings = {"temperature": 0, "top_p": 0.5, "stop": "END", "seed": 3, "max_completion_tokens": 9}
    answer = post(
        address, model="m", messages=messages, user="u", frequency_penalty=0, n=1, **settings
    ).json()
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == 1
    [(asked, sampling)] = model.asked
    assert [(message.role, message.content) for message in asked] == [
        ("system", "be brief"),
        ("assistant", "yes"),
        ("user", "ab"),
    ]
    assert sampling == Sampling(temperature=0, top_p=0.5, max_tokens=9, stop=("END",), seed=3)


def test_requests_reach_the_model_at_the_same_time(serve: Serve) -> None:
    model = Gathering(size=5)
    address = serve(ModelServer(model, "scripted/echo").app())

    async def post_all() -> list[httpx.Response]:
        async with httpx.AsyncClient(timeout=300) as client:
            url = f"{address}/v1/chat/completions"
            return await asyncio.gather(*(client.post(url, json=request()) for _ in range(5)))

    assert [answer.status_code for answer in asyncio.run(post_all())] == [200] * 5
    assert httpx.get(f"{address}/stats").json() == {
        "requests": 5,
        "most_at_once": 5,
        "calls": 5,
        "tokens_in": 25,
        "tokens_out": 10,
    }


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"tools": [{"type": "function"}]}, 400, "tools: not supported"),
        ({"response_format": {"type": "json_object"}}, 400, "response_format: not supported"),
        ({"n": 2}, 400, "n: only 1"),
        ({"messages": []}, 400, "messages: "),
        ({"messages": [{"role": "tool", "content": "x"}]}, 400, "messages.0.role: "),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "messages.0.content: "),
        ({"temperature": "hot"}, 400, "temperature: "),
        ({"model": "other"}, 404, "ask 'scripted/echo'"),
    ],
)
def test_what_cannot_be_done_is_refused_and_named(
    serve: Serve, fields: dict[str, Any], status: int, words: str
) -> None:
    answer = post(serve(echo_server()), **fields)
    assert answer.status_code == status
    assert words in answer.json()["error"]["message"]


def test_bodies_and_paths_that_make_no_sense_are_refused_in_openais_form(serve: Serve) -> None:
    address = serve(echo_server())
    for answer in (
        httpx.post(f"{address}/v1/chat/completions", content=b"{nonsense"),
        httpx.get(f"{address}/v1/chat/completions"),
        httpx.get(f"{address}/v1/embeddings"),
    ):
        assert answer.status_code in (400, 404, 405)
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (RequestRejected("bad"), 400, "invalid_request"),
        (AuthenticationFailed("its own key"), 403, "upstream_authentication_failed"),
        (RateLimited("later"), 429, "rate_limit_exceeded"),
        (ModelUnreachable("gone"), 503, "upstream_unreachable"),
        (ModelError("odd"), 500, "model_error"),
        (StoreError("disk"), 500, "model_error"),
    ],
)
def test_errors_of_the_model_keep_their_meaning(
    serve: Serve, error: PalaestraError, status: int, code: str
) -> None:
    answer = post(serve(ModelServer(Failing(error), "scripted/echo").app()))
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.json()["error"]["message"] == str(error)


def test_an_unexpected_failure_is_told_without_its_details(serve: Serve) -> None:
    answer = post(serve(ModelServer(Failing(ValueError("secret")), "scripted/echo").app()))
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    assert "secret" not in answer.text


def test_the_context_window_is_enforced_as_openai_does(serve: Serve) -> None:
    address = serve(ModelServer(ScriptedModel("scripted/echo", echo, context_window=10)).app())
    assert post(address, max_tokens=8).status_code == 200
    answer = post(address, max_tokens=9)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")


def test_a_key_opens_everything_but_health_which_needs_none(serve: Serve) -> None:
    address = serve(echo_server(api_key="kéy"))
    right = {b"Authorization": "Bearer kéy".encode()}
    assert httpx.get(f"{address}/health").json() == {"status": "ok"}
    for path in ("/stats", "/v1/models"):
        assert httpx.get(f"{address}{path}").status_code == 401
        assert httpx.get(f"{address}{path}", headers={"Authorization": "Bearer key"}).status_code == 401
        assert httpx.get(f"{address}{path}", headers=right).status_code == 200
    assert post(address).json()["error"]["code"] == "invalid_api_key"


def test_latency_holds_answers_back_but_not_one_behind_the_other(serve: Serve) -> None:
    address = serve(echo_server(latency=0.5))

    async def post_all() -> None:
        async with httpx.AsyncClient(timeout=300) as client:
            url = f"{address}/v1/chat/completions"
            await asyncio.gather(*(client.post(url, json=request()) for _ in range(40)))

    started = time.monotonic()
    asyncio.run(post_all())
    one_behind_the_other = 40 * 0.5
    assert 0.5 <= time.monotonic() - started < one_behind_the_other


def test_the_model_is_closed_when_the_server_ends() -> None:
    model = Gathering()

    async def live() -> None:
        app = ModelServer(model).app()
        async with app.router.lifespan_context(app):
            assert not model.closed

    asyncio.run(live())
    assert model.closed
