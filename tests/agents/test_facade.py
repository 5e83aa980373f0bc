"""An agent in the place of a model: any OpenAI client sends a prompt of any length."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx
import openai
import pytest
from starlette.applications import Starlette

from palaestra.agents.base import AgentContext
from palaestra.agents.facade import AgentModel, task_of
from palaestra.agents.rlm import RLMAgent, RLMConfig
from palaestra.core.budget import Budget
from palaestra.core.chat import Message, Sampling
from palaestra.core.errors import ModelUnreachable
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.models.scripted import Program, ScriptedModel
from palaestra.models.server import ModelServer
from palaestra.sandbox.registry import SandboxConfig, sandbox_factory

Serve = Callable[[Starlette], str]


def cell(code: str) -> str:
    return f"```repl\n{code}\n```"


def count_needles(messages: Sequence[Message], sampling: Sampling) -> str:
    """A root that has its context counted by a child, which asks a sub-model for each half."""
    if messages[0].role != "system":
        return str(messages[-1].content.count("needle"))
    if "`list of 2 str`" in messages[0].content:
        halves = "print('halving')\nhalves = llm_query_batched(context)\nFINAL(sum(map(int, halves)))"
        return cell(halves)
    middle = "half = len(context) // 2 // 7 * 7\nparts = [context[:half], context[half:]]\n"
    return "I have it counted.\n" + cell(f"{middle}FINAL(rlm_query('count', parts))")


def agent(program: Program, budget: Budget) -> AgentModel:
    models = [ScriptedModel("scripted/test", program)]
    return AgentModel("rlm/test", RLMAgent(RLMConfig()), models, sandbox_factory(SandboxConfig()), budget)


@pytest.fixture
def client(serve: Serve) -> Iterator[openai.OpenAI]:
    address = serve(ModelServer(agent(count_needles, Budget(depth=2))).app())
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
        yield client


PROMPT = "needle " * 300_000


def test_a_prompt_longer_than_any_window_is_answered_with_the_usage_of_the_tree(
    client: openai.OpenAI,
) -> None:
    answer = client.chat.completions.create(model="rlm/test", messages=[{"role": "user", "content": PROMPT}])
    assert answer.choices[0].message.content == "300000"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    stats = httpx.get(str(client.base_url).replace("/v1/", "/stats")).json()
    assert (stats["requests"], stats["calls"]) == (1, 1 + 1 + 2)
    assert answer.usage.prompt_tokens == stats["tokens_in"] > len(PROMPT) / 4


def test_a_stream_tells_of_turns_and_children_before_the_answer(client: openai.OpenAI) -> None:
    with client.chat.completions.create(
        model="rlm/test",
        messages=[{"role": "user", "content": PROMPT}],
        stream=True,
        stream_options={"include_usage": True},
    ) as stream:
        chunks = list(stream)
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    told = [delta.reasoning_content for delta in deltas if hasattr(delta, "reasoning_content")]
    assert [text.split("\n")[0] for text in told] == [
        "print('halving')",
        "[child finished] 300000",
        "I have it counted.",
    ]
    assert "".join(delta.content or "" for delta in deltas) == "300000"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens > len(PROMPT) / 4


def test_an_error_in_a_stream_is_told_in_its_place(serve: Serve) -> None:
    def down(messages: Sequence[Message], sampling: Sampling) -> str:
        raise ModelUnreachable("no answer; start the server")

    address = serve(ModelServer(agent(down, Budget())).app())
    with (
        openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client,
        client.chat.completions.create(
            model="rlm/test", messages=[{"role": "user", "content": "?"}], stream=True
        ) as stream,
        pytest.raises(openai.APIError, match="no answer; start the server"),
    ):
        list(stream)


def test_an_answer_at_a_limit_has_the_finish_reason_length(serve: Serve) -> None:
    draft = agent(lambda messages, sampling: cell("answer['content'] = 'a draft'"), Budget(calls=2))
    address = serve(ModelServer(draft).app())
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
        answer = client.chat.completions.create(model="rlm/test", messages=[{"role": "user", "content": "?"}])
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("a draft", "length")


def test_stop_texts_and_lengths_are_for_the_answer_and_not_for_the_agent(serve: Serve) -> None:
    address = serve(ModelServer(agent(lambda *_: cell("FINAL('one END two ' * 20)"), Budget())).app())
    asked: dict[str, Any] = {"model": "rlm/test", "messages": [{"role": "user", "content": "?"}]}
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
        stopped = client.chat.completions.create(**asked, stop="END").choices[0]
        cut = client.chat.completions.create(**asked, max_tokens=2).choices[0]
    assert (stopped.message.content, stopped.finish_reason) == ("one ", "stop")
    assert (cut.message.content, cut.finish_reason) == ("one END ", "length")


class Endless:
    """An agent that never comes to an end by itself."""

    name = "endless"
    uses_sandbox = False

    def __init__(self) -> None:
        self.was_cancelled = threading.Event()

    async def run(self, task: Task, context: AgentContext) -> Trajectory:
        try:
            return await asyncio.Future()
        except asyncio.CancelledError:
            self.was_cancelled.set()
            raise


def test_nobody_works_on_for_a_client_that_has_gone(serve: Serve) -> None:
    endless = Endless()
    model = AgentModel("rlm/test", endless, [], sandbox_factory(SandboxConfig()), Budget())
    address = serve(ModelServer(model).app())
    asked = {"model": "rlm/test", "messages": [{"role": "user", "content": "?"}]}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{address}/v1/chat/completions", json=asked, timeout=1.0)
    assert endless.was_cancelled.wait(30)


def test_a_conversation_becomes_a_task() -> None:
    system = Message(role="system", content="Be brief.")
    earlier = [Message(role="user", content="Hello"), Message(role="assistant", content="Hi")]
    short, long = Message(role="user", content="Count."), Message(role="user", content="x" * 9_000)
    assert (task_of([short]).prompt, task_of([short]).context) == ("Count.", None)
    assert task_of([long, short]).context == long.content
    asked = task_of([system, *earlier, short])
    assert (asked.prompt, asked.context) == ("Be brief.\n\nCount.", ("user: Hello", "assistant: Hi"))
    assert task_of([system, long]).context == long.content
    assert task_of([system, long]).prompt.startswith("Be brief.\n\nYour request is what `context` says")
    rules = Message(role="system", content="y" * 9_000)
    assert task_of([rules, short]).context == f"{rules.content}\n\nCount."
    assert task_of([rules]).context == rules.content
    assert task_of([*earlier, long]).context == ("user: Hello", "assistant: Hi", long.content)
