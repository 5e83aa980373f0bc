"""What a server of vLLM is asked and told. Its answers and weights are tested with vLLM itself."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from palaestra.core.chat import Message, Sampling
from palaestra.core.errors import ModelError
from palaestra.models.config import ModelConfig
from palaestra.models.tiny import TinyConfig, TinyModel
from palaestra.models.vllm_server import VLLMServer

TOKENIZER = TinyModel.build("tiny/words", ["plan a day"] * 9, TinyConfig(vocabulary=280), "cpu").tokenizer


class Engine:
    """Keeps what it is asked; answers to a path otherwise than with 200 where it was told so."""

    def __init__(self, choice: dict[str, Any] | None = None, **statuses: int) -> None:
        self.asked: list[str] = []
        self.bodies: list[Any] = []
        self._choice = choice
        self._statuses = statuses

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/{path:path}", self._answer, methods=["POST"])])

    async def _answer(self, request: Request) -> Response:
        self.asked.append(request.url.path.rpartition("/")[2])
        self.bodies.append(json.loads(await request.body() or b"null"))
        answer = {
            "id": "1",
            "object": "text_completion",
            "created": 1,
            "model": "m",
            "choices": [self._choice],
        }
        return JSONResponse(answer, status_code=self._statuses.get(self.asked[-1], 200))


def server(address: str) -> VLLMServer:
    config = ModelConfig(name="hosted_vllm/policy", api_base=f"{address}/v1", retries=0)
    return VLLMServer(config, TOKENIZER, context_window=64)


def test_new_weights_are_read_while_it_stands_still(
    serve: Callable[[Starlette], str], tmp_path: Path
) -> None:
    engine = Engine()
    asyncio.run(server(serve(engine.app())).reload(tmp_path))
    assert engine.asked == ["pause", "collective_rpc", "reset_prefix_cache", "resume"]
    assert engine.bodies[1] == {"method": "reload_weights", "kwargs": {"weights_path": str(tmp_path)}}


def test_it_goes_on_when_it_cannot_read_them(serve: Callable[[Starlette], str], tmp_path: Path) -> None:
    engine = Engine(collective_rpc=500)
    with pytest.raises(ModelError, match="did not take the weights"):
        asyncio.run(server(serve(engine.app())).reload(tmp_path))
    assert engine.asked == ["pause", "collective_rpc", "resume"]


def test_tokens_come_and_go_as_ids(serve: Callable[[Starlette], str]) -> None:
    ids = TOKENIZER.encode("a day")
    told = {"index": 0, "text": "", "finish_reason": "stop", "token_ids": ids}
    engine = Engine({**told, "logprobs": {"token_logprobs": [-0.5] * len(ids)}})
    question, sampling = [Message(role="user", content="plan")], Sampling(temperature=0.8, max_tokens=9)
    made = asyncio.run(server(serve(engine.app())).generate(question, sampling))
    assert made.trace is not None
    assert made.text == "a day"
    prompt = engine.bodies[0]["prompt"]
    assert made.trace.ids == (*prompt, *ids)
    assert made.trace.mask == (*[False] * len(prompt), *[True] * len(ids))
    assert made.trace.log_probs[len(prompt) :] == (-0.5,) * len(ids)


def test_a_server_that_tells_no_ids_is_refused(serve: Callable[[Starlette], str]) -> None:
    engine = Engine({"index": 0, "text": "a day", "finish_reason": "stop"})
    with pytest.raises(ModelError, match="tells no token ids"):
        asyncio.run(
            server(serve(engine.app())).generate(
                [Message(role="user", content="plan")], Sampling(max_tokens=9)
            )
        )
