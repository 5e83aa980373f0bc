from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from email.utils import formatdate
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from palaestra.core.chat import Completion, Message, Sampling
from palaestra.core.errors import (
    AuthenticationFailed,
    ConfigError,
    ContextTooLong,
    ModelError,
    ModelUnreachable,
    RateLimited,
    RequestRejected,
    UnknownModel,
)
from palaestra.models.config import ModelConfig
from palaestra.models.litellm_model import LiteLLMModel
from palaestra.models.programs.echo import echo
from palaestra.models.scripted import ScriptedModel
from palaestra.models.server import ModelServer

Serve = Callable[[Starlette], str]

HELLO = [Message(role="user", content="hello there")]


class Provider:
    """An endpoint that gives the answers it was told to, the last one for ever, and keeps the requests."""

    def __init__(self, *answers: Response) -> None:
        self.bodies: list[dict[str, Any]] = []
        self._answers = list(answers)

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/v1/chat/completions", self._answer, methods=["POST"])])

    async def _answer(self, request: Request) -> Response:
        self.bodies.append(json.loads(await request.body()))
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def answer(text: str = "hi", finish_reason: str = "stop", usage: Mapping[str, int] | None = None) -> Response:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    return JSONResponse(body if usage is None else {**body, "usage": usage})


def refusal(status: int, code: str, headers: Mapping[str, str] | None = None) -> Response:
    body = {"error": {"message": f"no: {code}", "type": "error", "code": code, "param": None}}
    return JSONResponse(body, status_code=status, headers=headers)


def ask(
    address: str,
    *,
    name: str = "openai/m",
    sampling: Sequence[Sampling] = (Sampling(),),
    messages: Sequence[Message] = HELLO,
    **settings: Any,
) -> list[Completion]:
    """One completion for each of `sampling`, asked for at the same time."""

    async def ask_all() -> list[Completion]:
        model = LiteLLMModel(ModelConfig(name=name, api_base=f"{address}/v1", **settings))
        try:
            return await asyncio.gather(*(model.generate(messages, draw) for draw in sampling))
        finally:
            await model.close()

    return asyncio.run(ask_all())


def echo_server(served_name: str, **settings: Any) -> Starlette:
    window = settings.pop("context_window", None)
    return ModelServer(ScriptedModel("scripted/echo", echo, window), served_name, **settings).app()


def stats(address: str) -> dict[str, int]:
    counted: dict[str, int] = httpx.get(f"{address}/stats").json()
    return counted


def test_text_usage_and_cost_of_a_model_with_a_known_price(serve: Serve) -> None:
    address = serve(echo_server("gpt-4o-mini"))
    [completion] = ask(address, name="openai/gpt-4o-mini")
    assert completion.text == "hello there"
    assert (completion.usage.calls, completion.usage.tokens_in, completion.usage.tokens_out) == (1, 3, 3)
    assert completion.usage.cost == pytest.approx(3 * 0.15e-6 + 3 * 0.60e-6)
    assert 0 < completion.usage.seconds < 30
    counted = stats(address)
    assert (counted["requests"], counted["tokens_in"], counted["tokens_out"]) == (1, 3, 3)


def test_cost_is_unknown_without_a_price_and_without_token_counts(serve: Serve) -> None:
    [unpriced] = ask(serve(echo_server("house-model")), name="openai/house-model")
    assert unpriced.usage.tokens == 6
    assert unpriced.usage.cost is None
    [uncounted] = ask(serve(Provider(answer()).app()), name="openai/gpt-4o-mini")
    assert uncounted.usage.cost is None


def test_cached_prompt_tokens_are_counted_and_cheaper(serve: Serve) -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 1, "total_tokens": 1001}
    cached: dict[str, Any] = {**usage, "prompt_tokens_details": {"cached_tokens": 900}}
    [dear] = ask(serve(Provider(answer(usage=usage)).app()), name="openai/gpt-4o-mini")
    [cheap] = ask(serve(Provider(answer(usage=cached)).app()), name="openai/gpt-4o-mini")
    assert (dear.usage.tokens_cached, cheap.usage.tokens_cached) == (0, 900)
    assert dear.usage.cost is not None
    assert cheap.usage.cost == pytest.approx(dear.usage.cost - 900 * 0.075e-6)


def test_a_key_is_read_from_the_named_variable_and_a_wrong_one_is_named(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = serve(echo_server("m", api_key="right"))
    monkeypatch.setenv("HOUSE_KEY", "right")
    assert ask(address, api_key_variable="HOUSE_KEY")[0].text == "hello there"
    monkeypatch.setenv("HOUSE_KEY", "wrong")
    with pytest.raises(AuthenticationFailed, match="set HOUSE_KEY to a valid one"):
        ask(address, api_key_variable="HOUSE_KEY")
    counted = httpx.get(f"{address}/stats", headers={"Authorization": "Bearer right"}).json()
    assert (counted["requests"], counted["calls"]) == (2, 1)
    with pytest.raises(ConfigError, match="NO_SUCH_KEY is not set"):
        ask(address, api_key_variable="NO_SUCH_KEY")


def test_a_missing_key_is_named_and_not_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    model = LiteLLMModel(ModelConfig(name="openai/gpt-4o-mini", retries=9))
    with pytest.raises(AuthenticationFailed, match="set OPENAI_API_KEY"):
        asyncio.run(model.generate(HELLO, Sampling()))


def test_an_unreachable_address_is_named_after_the_tries() -> None:
    with pytest.raises(ModelUnreachable, match=r"no answer from http://127\.0\.0\.1:9/v1, after 2 tries"):
        ask("http://127.0.0.1:9", retries=1)


def test_a_slow_answer_is_a_timeout_that_is_retried(serve: Serve) -> None:
    address = serve(echo_server("m", latency=1.0))
    with pytest.raises(ModelUnreachable, match=r"in time, after 2 tries.*now 0\.2 seconds"):
        ask(address, timeout=0.2, retries=1)
    assert stats(address)["requests"] == 2


def test_context_too_long_tells_both_sizes_and_is_not_retried(serve: Serve) -> None:
    address = serve(echo_server("m", context_window=100))
    for name in ("openai/m", "hosted_vllm/m"):
        with pytest.raises(ContextTooLong, match=r"100 tokens; 250 in the prompt") as raised:
            ask(address, name=name, messages=[Message(role="user", content="x" * 1000)])
        assert not set("{}\n") & set(str(raised.value))
    assert stats(address)["requests"] == 2


def test_an_unknown_model_is_not_retried(serve: Serve) -> None:
    address = serve(echo_server("m"))
    with pytest.raises(UnknownModel, match="ask 'm'"):
        ask(address, name="openai/n")
    assert stats(address)["requests"] == 1


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (refusal(400, "bad_temperature"), RequestRejected),
        (refusal(422, "unprocessable"), RequestRejected),
        (refusal(429, "insufficient_quota"), RateLimited),
        (refusal(429, "come_back_tomorrow", {"Retry-After": "86400"}), RateLimited),
        (answer(finish_reason="content_filter"), RequestRejected),
        (JSONResponse({"choices": [], "id": "1", "object": "chat.completion", "model": "m"}), ModelError),
    ],
)
def test_what_would_fail_again_is_asked_once(
    serve: Serve, response: Response, error: type[ModelError]
) -> None:
    provider = Provider(response)
    with pytest.raises(error) as raised:
        ask(serve(provider.app()))
    assert len(provider.bodies) == 1
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("as_date", [False, True])
def test_a_rate_limit_is_waited_out_as_long_as_the_provider_asks(serve: Serve, as_date: bool) -> None:
    retry_after = formatdate(time.time() + 3, usegmt=True) if as_date else "2"
    provider = Provider(refusal(429, "rate_limit_exceeded", {"Retry-After": retry_after}), answer())
    started = time.monotonic()
    [completion] = ask(serve(provider.app()))
    assert completion.text == "hi"
    assert len(provider.bodies) == 2
    waited = time.monotonic() - started - completion.usage.seconds
    assert waited >= 1.9


@pytest.mark.parametrize("status", [500, 502, 503, 529])
def test_overload_is_retried_until_it_passes(serve: Serve, status: int) -> None:
    provider = Provider(refusal(status, "overloaded"), answer())
    assert ask(serve(provider.app()))[0].text == "hi"
    assert len(provider.bodies) == 2


def test_a_server_that_fails_has_answered(serve: Serve) -> None:
    provider = Provider(refusal(500, "boom"))
    with pytest.raises(ModelUnreachable, match=r"status 500, after 2 tries \(.*boom.*\)"):
        ask(serve(provider.app()), retries=1)


def test_retries_end(serve: Serve) -> None:
    provider = Provider(refusal(429, "rate_limit_exceeded"))
    with pytest.raises(RateLimited, match=r"after 3 tries.*lower concurrency"):
        ask(serve(provider.app()), retries=2)
    assert len(provider.bodies) == 3


def test_models_of_one_address_share_the_smallest_limit(serve: Serve) -> None:
    address = serve(echo_server("m", latency=0.2))

    async def ask_all() -> None:
        models = [
            LiteLLMModel(ModelConfig(name="openai/m", api_base=f"{address}/v1", concurrency=limit))
            for limit in (50, 3)
        ]
        for model in models:
            await model.generate(HELLO, Sampling())
        await asyncio.gather(*(model.generate(HELLO, Sampling()) for model in models for _ in range(8)))
        for model in models:
            await model.close()

    asyncio.run(ask_all())
    assert stats(address) == {
        "requests": 18,
        "most_at_once": 3,
        "calls": 18,
        "tokens_in": 54,
        "tokens_out": 54,
    }


def test_sampling_arrives_at_the_provider(serve: Serve) -> None:
    provider = Provider(answer("cut", finish_reason="length"))
    sampling = Sampling(temperature=0.5, top_p=0.9, max_tokens=7, stop=("END", "\n\n"), seed=11)
    [completion] = ask(serve(provider.app()), sampling=[sampling])
    assert completion.finish_reason == "length"
    [body] = provider.bodies
    assert body["messages"] == [{"role": "user", "content": "hello there"}]
    assert (body["temperature"], body["top_p"], body["max_tokens"]) == (0.5, 0.9, 7)
    assert (body["stop"], body["seed"]) == (["END", "\n\n"], 11)


def test_a_schema_goes_to_providers_that_keep_to_one(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = Provider(answer('{"a": 1}'))
    address = serve(provider.app())
    monkeypatch.setenv("OPENAI_BASE_URL", f"{address}/v1")
    monkeypatch.setenv("OPENAI_API_BASE", f"{address}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}

    async def generate(name: str, api_base: str | None) -> None:
        model = LiteLLMModel(ModelConfig(name=name, api_base=api_base))
        await model.generate(HELLO, Sampling(json_schema=schema))
        await model.close()

    for name, api_base in (
        ("openai/gpt-4o-mini", None),
        ("openai/m", None),
        ("openai/gpt-4o-mini", f"{address}/v1"),
    ):
        asyncio.run(generate(name, api_base))
    told, *untold = provider.bodies
    assert told["response_format"]["json_schema"]["schema"] == schema
    assert told["response_format"]["type"] == "json_schema"
    assert all("response_format" not in body for body in untold)


def test_draws_with_one_seed_differ_by_sample_index_alone(serve: Serve) -> None:
    provider = Provider(answer())
    draws = [Sampling(seed=seed, sample_index=index) for seed in (1, 2) for index in (0, 1, 2)]
    address = serve(provider.app())
    ask(address, sampling=draws, concurrency=1)
    first = [body["seed"] for body in provider.bodies]
    ask(address, sampling=draws, concurrency=1)
    assert len(set(first)) == 6
    assert sorted(first) == sorted(body["seed"] for body in provider.bodies[6:])
    ask(address)
    assert "seed" not in provider.bodies[-1]


def test_the_context_window_is_the_users_or_that_of_the_price_table() -> None:
    assert LiteLLMModel(ModelConfig(name="openai/gpt-4o-mini")).context_window == 128_000
    assert LiteLLMModel(ModelConfig(name="openai/gpt-4o-mini", context_window=500)).context_window == 500
    assert LiteLLMModel(ModelConfig(name="openai/house-model")).context_window is None


QUIET = """
import asyncio, sys
from palaestra.core.chat import Message, Sampling
from palaestra.core.errors import ContextTooLong
from palaestra.models.config import ModelConfig
from palaestra.models.registry import load_model

model = load_model(ModelConfig(name="openai/m", api_base=sys.argv[1] + "/v1"))

async def use():
    hello = [Message(role="user", content="hi")]
    await asyncio.gather(*(model.generate(hello, Sampling()) for _ in range(10)))
    try:
        await model.generate([Message(role="user", content="x" * 1000)], Sampling())
    except ContextTooLong:
        await model.close()

async def use_again_after_close():
    await use()
    await use()

asyncio.run(use_again_after_close())
asyncio.run(use())  # in another event loop
"""


def test_nothing_is_printed_and_no_connection_is_left_open(serve: Serve) -> None:
    address = serve(echo_server("m", context_window=100))
    command = [sys.executable, "-W", "default", "-c", QUIET, address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert stats(address)["calls"] == 30
