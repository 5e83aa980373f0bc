from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from palaestra.core.chat import Completion, Message, Sampling
from palaestra.core.config import VerbConfig
from palaestra.core.errors import ModelError, ModelUnreachable, StoreError
from palaestra.core.usage import Usage
from palaestra.models.base import Model
from palaestra.models.cached import CachedModel, cache_key
from palaestra.models.config import ModelConfig
from palaestra.models.programs.echo import echo
from palaestra.models.registry import load_model
from palaestra.models.replay import ReplayModel
from palaestra.models.scripted import ScriptedModel
from palaestra.models.server import ModelServer
from palaestra.store.run_store import RunStore

Serve = Callable[[Starlette], str]

HELLO = [Message(role="user", content="hello")]


class Counting:
    """Counts its calls and takes a moment for each; fails the first `failures` times."""

    context_window: int | None = None

    def __init__(self, name: str = "test/counting", failures: int = 0) -> None:
        self.name = name
        self.calls = 0
        self._failures = failures

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        self.calls += 1
        number = self.calls
        await asyncio.sleep(0.01)
        if number <= self._failures:
            raise ModelUnreachable("gone")
        usage = Usage(calls=1, tokens_in=3, tokens_out=2, cost=0.25, seconds=1.5)
        return Completion(text=f"{self.name} {number}", finish_reason="stop", usage=usage)

    async def close(self) -> None:
        pass


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunStore]:
    with closing(RunStore.create(tmp_path, "run", VerbConfig())) as store:
        yield store


def ask(model: Model, sampling: Sampling | None = None, messages: Sequence[Message] = HELLO) -> Completion:
    return asyncio.run(model.generate(messages, sampling or Sampling()))


def test_an_answer_is_paid_once_and_keeps_what_it_cost(run: RunStore) -> None:
    counting = Counting()
    model = CachedModel(counting, run.cache)
    first, second = ask(model), ask(model)
    later = CachedModel(Counting(), RunStore.open(run.folder).cache)
    assert (first.cached, second.cached, ask(later).cached) == (False, True, True)
    assert second == ask(later) == first.model_copy(update={"cached": True})
    assert second.usage.cost == 0.25
    assert counting.calls == 1


def test_everything_that_the_answer_depends_on_is_in_the_key(run: RunStore) -> None:
    counting = Counting()
    model = CachedModel(counting, run.cache)
    samplings = [
        Sampling(),
        Sampling(sample_index=1),
        Sampling(seed=1),
        Sampling(temperature=0),
        Sampling(max_tokens=5),
    ]
    conversations: list[list[Message]] = [
        HELLO,
        [*HELLO, *HELLO],
        [Message(role="system", content="hello")],
    ]
    for sampling in samplings:
        for messages in conversations:
            ask(model, sampling, messages)
    assert counting.calls == len(samplings) * len(conversations)
    ask(CachedModel(counting, run.cache, api_base="http://127.0.0.1:8000/v1"))
    ask(CachedModel(Counting("test/other"), run.cache))
    assert counting.calls == len(samplings) * len(conversations) + 1


def test_the_key_fits_the_store() -> None:
    assert len(cache_key("n" * 500, "http://" + "a" * 500, HELLO, Sampling())) <= 128


def test_errors_are_not_kept(run: RunStore) -> None:
    counting = Counting(failures=1)
    model = CachedModel(counting, run.cache)
    with pytest.raises(ModelUnreachable):
        ask(model)
    assert (ask(model).cached, ask(model).cached) == (False, True)
    assert counting.calls == 2


def test_equal_requests_at_the_same_time_are_asked_once(run: RunStore) -> None:
    counting = Counting()
    model = CachedModel(counting, run.cache)

    async def ask_all() -> list[Completion]:
        return await asyncio.gather(*(model.generate(HELLO, Sampling(sample_index=i % 2)) for i in range(10)))

    assert sum(completion.cached for completion in asyncio.run(ask_all())) == 8
    assert counting.calls == 2


def test_a_remote_model_is_cached_and_can_be_replayed_without_its_server(serve: Serve, run: RunStore) -> None:
    address = serve(ModelServer(ScriptedModel("scripted/echo", echo), "m").app())
    config = ModelConfig(name="openai/m", api_base=f"{address}/v1")

    async def ask_twice() -> list[Completion]:
        model = load_model(config, run.cache)
        try:
            return [await model.generate(HELLO, Sampling()) for _ in range(2)]
        finally:
            await model.close()

    asked, found = asyncio.run(ask_twice())
    assert httpx.get(f"{address}/stats").json()["requests"] == 1
    assert (found.text, found.cached, found.usage) == ("hello", True, asked.usage)
    assert ask(load_model(ModelConfig(name=f"replay/{run.folder}"))) == found


def test_local_models_are_cached_only_by_hand(run: RunStore) -> None:
    model = load_model(ModelConfig(name="scripted/echo"), run.cache)
    assert isinstance(model, ScriptedModel)
    ask(CachedModel(model, run.cache))
    replay = ReplayModel.from_config(ModelConfig(name=f"replay/{run.folder}"))
    assert ask(replay).text == "hello"


def test_a_replay_says_which_prompt_was_not_recorded(run: RunStore) -> None:
    replay = load_model(ModelConfig(name=f"replay/{run.folder}"))
    with pytest.raises(ModelError, match=r"holds no answer to 'hello' with temperature=0\.0, sample_index=2"):
        ask(replay, Sampling(temperature=0, sample_index=2))
    for name in ("test/a", "test/b"):
        ask(CachedModel(Counting(name), run.cache))
    with pytest.raises(ModelError, match="answers of 2 models to 'hello' with default sampling"):
        ask(replay)


def test_a_stored_answer_of_another_version_is_told_from_a_crash(run: RunStore) -> None:
    run.cache.put(cache_key("test/counting", None, HELLO, Sampling()), '{"words": "hello"}')
    with pytest.raises(StoreError, match="start a new run"):
        ask(CachedModel(Counting(), run.cache))
