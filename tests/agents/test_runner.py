import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from palaestra.agents.react import ReactConfig
from palaestra.agents.rlm import RLMConfig
from palaestra.agents.runner import RunConfig, run
from palaestra.core.budget import Budget
from palaestra.core.chat import Message, Sampling
from palaestra.core.config import resolve
from palaestra.core.errors import (
    AuthenticationFailed,
    ConfigError,
    ContextTooLong,
    DataError,
    ModelUnreachable,
    UnknownModel,
)
from palaestra.core.events import CallMade, RunFinished, TaskLoaded, TrajectoryFinished
from palaestra.core.task import ContextFile
from palaestra.datasets.source import DataSource
from palaestra.models.config import ModelConfig
from palaestra.models.scripted import Program, ScriptedModel
from palaestra.models.server import ModelServer
from palaestra.store.run_store import RunStore
from palaestra.store.runs import reopen_failed, summarize

Serve = Callable[[Starlette], str]


def finish(messages: Sequence[Message], sampling: Sampling) -> str:
    """A ReAct agent's model that answers at once with the question."""
    question = messages[1].content.split("\n\n")[1]
    if question == "too long":
        raise ContextTooLong("it does not fit; shorten it")
    return f"Thought: easy.\nAction: finish[{question}]"


def remote(serve: Serve, **settings: Any) -> ModelConfig:
    server = ModelServer(ScriptedModel("test", finish), **settings)
    return ModelConfig(name="openai/test", api_base=f"{serve(server.app())}/v1", retries=0)


def tasks(folder: Path, *prompts: str) -> DataSource:
    rows = [json.dumps({"id": f"t{number}", "prompt": prompt}) for number, prompt in enumerate(prompts)]
    (folder / "tasks.jsonl").write_text("\n".join(rows))
    return DataSource(path=str(folder / "tasks.jsonl"))


def start(config: RunConfig, folder: Path) -> tuple[RunStore, RunFinished]:
    store = RunStore.create(folder / "runs", "run", config)
    return store, asyncio.run(run(config, store, store.write))


def answers(store: RunStore) -> dict[str, str]:
    return {event.trajectory.id: event.trajectory.answer for event in store.events(TrajectoryFinished)}


def test_every_task_is_run_as_often_as_wanted(tmp_path: Path, serve: Serve) -> None:
    config = RunConfig(
        agent=ReactConfig(), model=remote(serve), tasks=tasks(tmp_path, "a", "b", "c"), repeats=2, limit=2
    )
    store, finished = start(config, tmp_path)
    assert finished.status == "done"
    assert answers(store) == {"t0#0": "a", "t0#1": "a", "t1#0": "b", "t1#1": "b"}
    assert [event.task.id for event in store.events(TaskLoaded)] == ["t0", "t1"]


def test_what_failed_is_taken_up_again_and_nothing_else(tmp_path: Path, serve: Serve) -> None:
    """The second answer to each task is refused the first time, but to the task that needs one alone."""
    asked: Counter[str] = Counter()

    def fails_once(messages: Sequence[Message], sampling: Sampling) -> str:
        question, turn = messages[1].content.split("\n\n")[1], len(messages) // 2
        asked[f"{question} {turn}"] += 1
        if turn == 1 and question != "easy":
            return "Thought: hard.\nAction: nothing[]"
        if asked[f"{question} {turn}"] == 1 and question != "easy":
            raise ContextTooLong("not now")
        return f"Thought: done.\nAction: finish[{question}]"

    server = ModelServer(ScriptedModel("test", fails_once))
    model = ModelConfig(name="openai/test", api_base=f"{serve(server.app())}/v1", retries=0)
    config = RunConfig(agent=ReactConfig(), model=model, tasks=tasks(tmp_path, "easy", "b", "c"))
    store, finished = start(config, tmp_path)
    assert finished.status == "failures"
    store.write(finished)
    assert asyncio.run(run(config, store, store.write)).status == "failures"
    assert asked == {"easy 1": 1, "b 1": 1, "b 2": 1, "c 1": 1, "c 2": 1}
    assert reopen_failed(store) == 2
    assert summarize(store).state == "unfinished"
    assert answers(store) == {"t0#0": "easy"}
    assert asyncio.run(run(config, store, store.write)).status == "done"
    assert asked == {"easy 1": 1, "b 1": 1, "b 2": 2, "c 1": 1, "c 2": 2}
    assert answers(store) == {"t0#0": "easy", "t1#0": "b", "t2#0": "c"}
    assert reopen_failed(store) == 0
    store.close()


def test_a_failed_trajectory_is_recorded_and_the_others_go_on(tmp_path: Path, serve: Serve) -> None:
    config = RunConfig(
        agent=ReactConfig(), model=remote(serve), tasks=tasks(tmp_path, "too long", "b", "c"), concurrency=1
    )
    store, finished = start(config, tmp_path)
    assert finished.status == "failures"
    assert finished.reason.startswith("1 trajectories ended with an error, such as t0#0: ContextTooLong")
    assert answers(store) == {"t0#0": "", "t1#0": "b", "t2#0": "c"}
    assert asyncio.run(run(config, store, store.write)).reason == finished.reason


def test_what_is_finished_is_not_run_again(tmp_path: Path, serve: Serve) -> None:
    config = RunConfig(agent=ReactConfig(), model=remote(serve), tasks=tasks(tmp_path, "a", "b"))
    store, _ = start(config, tmp_path)
    again = RunStore.open(store.folder)
    assert asyncio.run(run(config, again, again.write)).status == "done"
    assert len(list(again.events(CallMade))) == 2
    assert len(list(again.events(TaskLoaded))) == 2
    assert len(list(again.events(TrajectoryFinished))) == 2


@pytest.mark.parametrize(
    ("settings", "changes", "error"),
    [
        ({"api_key": "right"}, {}, AuthenticationFailed),
        ({"served_name": "other"}, {}, UnknownModel),
        ({}, {"api_base": "http://127.0.0.1:9/v1"}, ModelUnreachable),
    ],
)
def test_a_model_that_nobody_can_use_ends_the_run_at_once(
    tmp_path: Path, serve: Serve, settings: dict[str, str], changes: dict[str, str], error: type[Exception]
) -> None:
    model = remote(serve, **settings).model_copy(update=changes)
    config = RunConfig(
        agent=ReactConfig(), model=model, tasks=tasks(tmp_path, *map(str, range(50))), concurrency=2
    )
    store = RunStore.create(tmp_path / "runs", "run", config)
    with pytest.raises(error):
        asyncio.run(run(config, store, store.write))
    assert answers(store) == {}


def stepwise(messages: Sequence[Message], sampling: Sampling) -> str:
    """An RLM's root that needs the variables of each turn in the next."""
    turn = sum(message.role == "assistant" for message in messages)
    if turn == 0:
        return "```repl\nn = 1\n```"
    return "```repl\nn += 1\n```" if turn < 6 else "```repl\nFINAL(n)\n```"


def test_what_the_limit_of_a_run_cut_off_goes_on_with_its_variables(tmp_path: Path, serve: Serve) -> None:
    address = serve(ModelServer(ScriptedModel("gpt-4o", stepwise)).app())
    config = RunConfig(
        agent=RLMConfig(),
        model=ModelConfig(name="openai/gpt-4o", api_base=f"{address}/v1"),
        ask="How many?",
        max_cost=0.005,
    )
    store, finished = start(config, tmp_path)
    assert finished.status == "limit"
    richer = config.model_copy(update={"max_cost": 10.0})
    assert asyncio.run(run(richer, store, store.write)).status == "done"
    assert answers(store) == {"ask#0": "6"}
    assert httpx.get(f"{address}/stats").json()["requests"] == 7
    assert list((store.folder / "sessions").iterdir()) == []


def test_a_wrong_sub_model_ends_the_run_too(tmp_path: Path, serve: Serve) -> None:
    wrong = remote(serve, served_name="other")
    config = RunConfig(
        model=ModelConfig(name="scripted/code-census"),
        sub_model=wrong,
        ask="How many?",
        budget=Budget(turns=3),
        context=(str(Path(__file__).parent),),
    )
    store = RunStore.create(tmp_path / "runs", "run", config)
    with pytest.raises(UnknownModel):
        asyncio.run(run(config, store, store.write))
    assert answers(store) == {}


def test_no_trajectory_is_started_when_the_money_is_used_up(tmp_path: Path, serve: Serve) -> None:
    server = ModelServer(ScriptedModel("gpt-4o", finish))
    config = RunConfig(
        agent=ReactConfig(),
        model=ModelConfig(name="openai/gpt-4o", api_base=f"{serve(server.app())}/v1"),
        tasks=tasks(tmp_path, *"abcdefgh"),
        max_cost=0.002,
        concurrency=1,
    )
    store, finished = start(config, tmp_path)
    cost = sum(event.usage.cost or 0 for event in store.events(CallMade))
    assert finished.status == "limit"
    assert finished.reason.startswith("max_cost=0.002 USD is used up (0.00")
    assert finished.reason.endswith(f" spent); {8 - len(answers(store))} trajectories are left")
    assert 0.002 <= cost < 0.004
    assert 1 <= len(answers(store)) < 8
    more = RunStore.open(store.folder)
    richer = config.model_copy(update={"max_cost": 1.0})
    assert asyncio.run(run(richer, more, more.write)).status == "done"
    assert len(answers(more)) == len(list(more.events(CallMade))) == 8


def ponder(messages: Sequence[Message], sampling: Sampling) -> str:
    """A ReAct agent's model that answers in its tenth turn."""
    turn = sum(message.role == "assistant" for message in messages)
    return "Action: finish[at last]" if turn == 9 else f"Action: ponder[{turn}]"


def delegate(messages: Sequence[Message], sampling: Sampling) -> str:
    """Both models of an RLM: the root asks a hundred questions and answers, whatever came back."""
    if messages[0].role == "system":
        ask = "replies = llm_query_batched([str(number) for number in range(100)])"
        return f"```repl\n{ask}\nFINAL(sum('failed' not in reply for reply in replies))\n```"
    return "word " * 800


@pytest.mark.parametrize(
    ("agent", "program", "max_cost", "concurrency", "in_flight", "answer", "calls"),
    [
        (ReactConfig(), ponder, 0.01, 3, 3, "at last", 10),
        (RLMConfig(parallel=4), delegate, 0.03, 2, 8, "100", 101),
    ],
)
def test_the_limit_of_a_run_stops_trajectories_under_way_and_more_money_brings_them_to_their_end(
    tmp_path: Path,
    serve: Serve,
    agent: ReactConfig | RLMConfig,
    program: Program,
    max_cost: float,
    concurrency: int,
    in_flight: int,
    answer: str,
    calls: int,
) -> None:
    address = serve(ModelServer(ScriptedModel("gpt-4o", program)).app())
    config = RunConfig(
        agent=agent,
        model=ModelConfig(name="openai/gpt-4o", api_base=f"{address}/v1"),
        tasks=tasks(tmp_path, *"abc"),
        concurrency=concurrency,
    )
    store = RunStore.create(tmp_path / "runs", "run", config)
    for limit in (max_cost, 1.3 * max_cost):
        limited = config.model_copy(update={"max_cost": limit})
        finished = asyncio.run(run(limited, store, store.write))
        costs = [event.usage.cost or 0 for event in store.events(CallMade) if not event.cached]
        assert finished.status == "limit"
        assert finished.reason.endswith("3 trajectories are left")
        assert limit <= sum(costs) < limit + in_flight * max(costs)
        assert answers(store) == {}
    richer = config.model_copy(update={"max_cost": 10.0})
    assert asyncio.run(run(richer, store, store.write)).status == "done"
    assert answers(store) == {f"t{n}#0": answer for n in range(3)}
    assert httpx.get(f"{address}/stats").json()["requests"] == 3 * calls
    assert sum(not event.cached for event in store.events(CallMade)) == 3 * calls


def test_a_trajectory_that_used_up_its_own_budget_is_final(tmp_path: Path, serve: Serve) -> None:
    address = serve(ModelServer(ScriptedModel("gpt-4o", ponder)).app())
    config = RunConfig(
        agent=ReactConfig(),
        model=ModelConfig(name="openai/gpt-4o", api_base=f"{address}/v1"),
        tasks=tasks(tmp_path, *"ab"),
        budget=Budget(cost=0.001),
        max_cost=10,
    )
    store, finished = start(config, tmp_path)
    assert finished.status == "done"
    for event in store.events(TrajectoryFinished):
        assert event.trajectory.status == "limit"
        assert event.trajectory.reason.startswith("budget.cost=0.001 USD is used up")


def test_a_cancelled_run_keeps_what_is_finished_and_goes_on(tmp_path: Path, serve: Serve) -> None:
    slow = remote(serve, latency=0.3)
    config = RunConfig(agent=ReactConfig(), model=slow, tasks=tasks(tmp_path, *"abcd"), concurrency=2)
    store = RunStore.create(tmp_path / "runs", "run", config)

    async def body() -> None:
        work = asyncio.create_task(run(config, store, store.write))
        while not answers(store) and not work.done():
            await asyncio.sleep(0.01)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work

    asyncio.run(body())
    assert 0 < len(answers(store)) < 4
    assert asyncio.run(run(config, store, store.write)).status == "done"
    assert answers(store) == {f"t{n}#0": "abcd"[n] for n in range(4)}
    assert len(list(store.events(TrajectoryFinished))) == 4


def test_the_context_of_a_question_is_kept_with_the_run(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("async def f(): pass")
    (tmp_path / "code" / "b.py").write_text("async def g(): pass\nasync def h(): pass\n")
    model = ModelConfig(name="scripted/code-census")
    config = RunConfig(model=model, ask="How many?", context=(str(tmp_path / "code"),))
    store, finished = start(config, tmp_path)
    assert finished.status == "done"
    assert answers(store) == {"ask#0": "3"}
    (event,) = store.events(TaskLoaded)
    (tmp_path / "code" / "a.py").unlink()
    assert isinstance(event.task.context, ContextFile)
    assert Path(event.task.context.path).read_text().startswith("=== FILE: a.py ===\nasync def f()")


def test_trajectories_draw_with_seeds_of_their_own_that_follow_from_the_run(
    tmp_path: Path, serve: Serve
) -> None:
    def seeds(seed: int) -> dict[str, str]:
        def tell(messages: Sequence[Message], sampling: Sampling) -> str:
            return f"Action: finish[{sampling.seed}]"

        address = serve(ModelServer(ScriptedModel("test", tell)).app())
        model = ModelConfig(name="openai/test", api_base=f"{address}/v1")
        source = tasks(tmp_path, "a", "b")
        config = RunConfig(agent=ReactConfig(), model=model, tasks=source, repeats=2, seed=seed)
        return answers(start(config, tmp_path)[0])

    first = seeds(3)
    assert len(set(first.values())) == 4
    assert seeds(3) == first
    assert not set(seeds(4).values()) & set(first.values())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model=scripted/echo"], "give either --tasks"),
        (["model=scripted/echo", "ask=x", "tasks=a.jsonl"], "give either --tasks"),
        (["model=scripted/echo", "tasks=a.jsonl", "context=[a]"], "context goes with ask"),
        (["model=scripted/echo", "ask=x", "agent.name=rml"], "'rlm', 'react'"),
        (["ask=x"], "model"),
    ],
)
def test_settings_that_cannot_be_used(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve(RunConfig, None, overrides)


def test_a_missing_context_is_told(tmp_path: Path) -> None:
    config = RunConfig(model=ModelConfig(name="scripted/echo"), ask="?", context=(str(tmp_path / "nope"),))
    with pytest.raises(DataError, match="nope"):
        start(config, tmp_path)
