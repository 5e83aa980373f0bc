"""ReAct with native tool calls over real HTTP, and with the tools of real MCP servers."""

import asyncio
import json
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from palaestra.agents.base import AgentContext
from palaestra.agents.react import ReactAgent, ReactConfig
from palaestra.agents.registry import make_agent
from palaestra.agents.tool import FunctionTool, McpServer, ToolConfig
from palaestra.core.budget import Budget, Meter
from palaestra.core.chat import Sampling
from palaestra.core.config import VerbConfig
from palaestra.core.errors import ConfigError
from palaestra.core.events import StepTaken
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.models.config import ModelConfig
from palaestra.models.registry import calls_tools, load_model
from palaestra.sandbox.registry import SandboxConfig, sandbox_factory
from palaestra.store.journal import RunJournal
from palaestra.store.run_store import RunStore

Serve = Callable[[Starlette], str]
Call = tuple[str, dict[str, Any]]


class Endpoint:
    """An OpenAI endpoint whose model makes these calls, a list a turn, and then says the last words."""

    def __init__(self, turns: Sequence[Sequence[Call]], last: str = "") -> None:
        self.requests: list[dict[str, Any]] = []
        self._turns = turns
        self._last = last
        self.fails_after: int | None = None
        """Turns after which it cancels whoever asks."""
        self.cancel: Callable[[], object] = lambda: None

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/v1/chat/completions", self._complete, methods=["POST"])])

    async def _complete(self, request: Request) -> JSONResponse:
        body = await request.json()
        self.requests.append(body)
        turn = sum(message["role"] == "assistant" for message in body["messages"])
        if turn == self.fails_after:
            self.cancel()
            await asyncio.sleep(1)
        calls = self._turns[turn] if turn < len(self._turns) else []
        message: dict[str, Any] = {"role": "assistant", "content": f"turn {turn}" if calls else self._last}
        if calls:
            message["tool_calls"] = [
                {
                    "id": f"call-{turn}-{number}",
                    "type": "function",
                    "function": {"name": name, "arguments": json.dumps(arguments)},
                }
                for number, (name, arguments) in enumerate(calls)
            ]
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        answer = {"id": "x", "object": "chat.completion", "created": 0, "model": body["model"]}
        return JSONResponse(answer | {"choices": [choice], "usage": usage})


def run(
    serve: Serve, endpoint: Endpoint, agent: ReactAgent, task: Task, store: RunStore | None = None
) -> Trajectory:
    address = serve(endpoint.app())

    async def work() -> Trajectory:
        config = ModelConfig(name="openai/test", api_base=f"{address}/v1")
        model = load_model(config, store.cache if store else None)
        context = AgentContext(
            trajectory_id="t#0",
            models=[model],
            sandbox=sandbox_factory(SandboxConfig()),
            meter=Meter(Budget(turns=6)),
            sampling=Sampling(),
            emit=store.write if store else lambda event: None,
            journal=RunJournal(store).of("t#0") if store else None,
        )
        loop, playing = asyncio.get_running_loop(), asyncio.create_task(agent.run(task, context))
        endpoint.cancel = lambda: loop.call_soon_threadsafe(playing.cancel)
        try:
            return await playing
        finally:
            await model.close()

    return asyncio.run(work())


NATIVE = ReactConfig(calling="native")
TASK = Task(id="t", prompt="How many?", context="one two three")


def test_calls_of_one_turn_run_at_the_same_time_and_their_results_go_back(serve: Serve) -> None:
    both = threading.Barrier(2, timeout=300)

    def slow(word: str) -> str:
        """Repeat a word."""
        both.wait()
        return word * 2

    endpoint = Endpoint(
        [
            [
                ("slow", {"word": "a"}),
                ("slow", {"word": "b"}),
                ("python", {"code": "n = len(context); print(n)"}),
            ],
            [("nothing", {}), ("slow", {"other": 1})],
            [("python", {"code": "print(n + 1)"})],
            [("finish", {"answer": " 14 "})],
        ]
    )
    trajectory = run(serve, endpoint, ReactAgent(NATIVE, {"slow": slow}), TASK)
    assert (trajectory.status, trajectory.answer) == ("finished", "14")
    assert trajectory.steps[0].thought == "turn 0"
    assert [action.name for action in trajectory.steps[0].actions] == ["slow", "slow", "python"]
    assert trajectory.steps[0].observation.startswith("aa\n\nbb\n\n13\n")
    told = [message for message in endpoint.requests[1]["messages"] if message["role"] == "tool"]
    assert [message["tool_call_id"] for message in told] == ["call-0-0", "call-0-1", "call-0-2"]
    assert told[1]["content"] == "bb"
    assert "slow failed: ValueError: the argument must be" in trajectory.steps[1].observation
    assert "There is no tool `nothing`" in trajectory.steps[1].observation
    offered = {tool["function"]["name"]: tool["function"] for tool in endpoint.requests[0]["tools"]}
    assert set(offered) == {"search", "read", "python", "slow", "finish"}
    assert offered["slow"]["description"] == "Repeat a word."
    assert offered["slow"]["parameters"]["properties"]["word"]["type"] == "string"


def test_a_message_without_calls_is_the_answer(serve: Serve) -> None:
    trajectory = run(serve, Endpoint([], last="forty-two"), ReactAgent(NATIVE), TASK)
    assert (trajectory.status, trajectory.answer, len(trajectory.steps)) == ("finished", "forty-two", 1)


def test_an_answer_that_does_not_fit_is_an_observation(serve: Serve) -> None:
    task = Task(id="t", prompt="?", answer_schema={"type": "integer"})
    endpoint = Endpoint(
        [[("finish", {"answer": "many"})], [("finish", {"text": 1})], [("finish", {"answer": "7"})]]
    )
    trajectory = run(serve, endpoint, ReactAgent(NATIVE), task)
    assert (trajectory.status, trajectory.answer) == ("finished", "7")
    assert trajectory.steps[0].observation.startswith("finish failed: it is no JSON")
    assert trajectory.steps[1].observation.startswith("finish failed: ")


def test_what_tools_say_and_do_at_once_is_theirs(serve: Serve) -> None:
    task = Task(id="t", prompt="?", answer_schema={"type": "integer"})

    def status() -> str:
        """How it goes."""
        return "finished"

    endpoint = Endpoint(
        [
            [("status", {}), ("python", {"code": "a = 1"}), ("python", {"code": "b = 2"})],
            [("python", {"code": "print(a + b)"})],
        ],
        last="three",
    )
    trajectory = run(serve, endpoint, ReactAgent(NATIVE, {"status": status}), task)
    assert trajectory.steps[0].observation.startswith("finished\n\n")
    assert trajectory.steps[1].observation.startswith("3\n")
    assert trajectory.status == "limit"
    assert endpoint.requests[3]["messages"][-1]["role"] == "user"
    assert "finish failed: it is no JSON" in endpoint.requests[3]["messages"][-1]["content"]


def test_tools_are_called_whatever_their_names(serve: Serve) -> None:
    def price(item: str) -> float:
        """What an item costs."""
        return 2.5

    for name in ("getPrice", "get-price", "shop.price"):
        spoken = Endpoint([], last=f"Thought: look\nAction: {name}[tea]")
        trajectory = run(serve, spoken, ReactAgent(ReactConfig(), {name: price}), TASK)
        assert trajectory.steps[0].observation == "2.5"


def test_a_resumed_conversation_is_the_same_with_its_calls(serve: Serve, tmp_path: Path) -> None:
    store = RunStore.create(tmp_path, "run", VerbConfig())
    turns: list[list[Call]] = [
        [("python", {"code": "import os; stamp = os.urandom(4).hex(); print(stamp)"})],
        [("python", {"code": "print(stamp)"})],
    ]
    broken = Endpoint(turns[:1], last="not used")
    broken.fails_after = 1
    assert run(serve, broken, ReactAgent(NATIVE), TASK, store).status == "cancelled"
    (step,) = store.events(StepTaken)
    endpoint = Endpoint(turns, last="done")
    trajectory = run(serve, endpoint, ReactAgent(NATIVE), TASK, store)
    stamp = step.step.observation.split()[0]
    assert trajectory.answer == "done"
    assert [each.observation.split()[0] for each in trajectory.steps[:2]] == [stamp, stamp]
    first, call, result = endpoint.requests[0]["messages"][1:]
    assert first["role"] == "user"
    assert call["tool_calls"][0]["function"]["name"] == "python"
    assert (result["role"], result["tool_call_id"]) == ("tool", "call-0-0")


SERVER = """
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

server = MCPServer("shop")

@server.tool()
def price(item: str, amount: int = 1) -> str:
    '''What an item costs.'''
    if item != "tea":
        raise ToolError(f"no {item} here")
    return f"{2.5 * amount}"

server.run()
"""


def test_the_tools_of_an_mcp_server_are_called_in_both_forms(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SERVER)
    tools = ToolConfig(mcp=(McpServer(command=(sys.executable, str(tmp_path / "shop.py"))),))
    endpoint = Endpoint(
        [
            [("price", {"item": "coffee"})],
            [("price", {"item": "tea", "amount": 4})],
            [("finish", {"answer": "10"})],
        ]
    )
    native = ReactAgent(ReactConfig(calling="native", tools=tools))
    trajectory = run(serve, endpoint, native, TASK)
    assert trajectory.answer == "10"
    assert "no coffee here" in trajectory.steps[0].observation
    assert trajectory.steps[1].observation == "10.0"
    spoken = Endpoint([], last='Thought: look\nAction: price[{"item": "tea", "amount": 2}]')
    trajectory = run(serve, spoken, ReactAgent(ReactConfig(tools=tools)), TASK)
    assert trajectory.steps[0].observation == "5.0"
    assert "`price(item: string, amount: integer)`: What an item costs." in json.dumps(spoken.requests[0])


def test_an_mcp_server_that_cannot_be_started_is_an_error_in_the_settings(serve: Serve) -> None:
    tools = ToolConfig(mcp=(McpServer(command=("/nowhere/server",)),))
    with pytest.raises(ConfigError, match="the MCP server /nowhere/server cannot be used"):
        run(serve, Endpoint([]), ReactAgent(ReactConfig(tools=tools)), TASK)


def test_native_calling_is_chosen_for_models_that_are_known_to_have_it() -> None:
    assert calls_tools(ModelConfig(name="openai/gpt-4o"))
    assert not calls_tools(ModelConfig(name="openai/gpt-4o", api_base="http://127.0.0.1:1/v1"))
    assert not calls_tools(ModelConfig(name="openai/no-such-model"))
    assert not calls_tools(ModelConfig(name="scripted/echo"))
    with pytest.raises(ConfigError, match="there is no provider"):
        calls_tools(ModelConfig(name="nobody/model"))
    with pytest.raises(ConfigError, match="the tool os:nothing cannot be found"):
        make_agent(
            ReactConfig(tools=ToolConfig(functions=("os:nothing",))), ModelConfig(name="scripted/echo")
        )


def test_a_function_is_described_by_its_signature_and_docstring() -> None:
    def price(item: str, amount: int = 1) -> float:
        """What an item
        costs."""
        return 2.5 * amount

    tool = FunctionTool("price", price)
    assert tool.signature == "price(item: str, amount: int = 1) -> float"
    assert tool.description == "What an item costs."
    assert set(tool.parameters["properties"]) == {"item", "amount"}
    assert asyncio.run(tool.call("tea", amount=2)) == 5.0
