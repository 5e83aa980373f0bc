"""A run that is killed at any moment goes on from its last finished turn, variables included."""

import asyncio
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from starlette.applications import Starlette

from benchmarks.killed_runs import (
    LINES,
    PATIENCE,
    TREE_CALLS,
    TURNS,
    bytes_after,
    counts,
    go_on,
    is_right,
    new_run,
    tree,
)
from palaestra.agents.base import AgentContext
from palaestra.agents.memory import MemoryConfig
from palaestra.agents.react import ReactConfig
from palaestra.agents.registry import AgentConfig
from palaestra.agents.rlm import RLMAgent, RLMConfig
from palaestra.core.budget import Budget, Meter
from palaestra.core.chat import Message, Sampling
from palaestra.core.config import VerbConfig
from palaestra.core.events import Event, Sink, StepTaken, TrajectoryFinished
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.usage import total
from palaestra.models.scripted import Program, ScriptedModel
from palaestra.models.server import ModelServer
from palaestra.sandbox.registry import SandboxConfig, sandbox_factory
from palaestra.store.journal import RunJournal
from palaestra.store.run_store import RunStore

Serve = Callable[[Starlette], str]
KILLS = 2


def note(messages: Sequence[Message], sampling: Sampling) -> str:
    """A memory agent's model that remembers the numbers it has read."""
    text = messages[-1].content
    if "Answer the question from this memory" in text:
        return text.partition("<memory>\n")[2].partition("\n</memory>")[0].rpartition(" ")[2]
    memory = text.partition("<memory>\n")[2].partition("\n</memory>")[0].rpartition(" ")[2]
    section = text.partition("<section>\n")[2].partition("\n</section>")[0]
    return f"The sum so far is {int(memory if memory.isdigit() else 0) + section.count('one')}"


def count(messages: Sequence[Message], sampling: Sampling) -> str:
    """A ReAct agent's model that counts in its session."""
    turn = sum(message.role == "assistant" for message in messages)
    if turn == 0:
        return "Thought: begin\nAction: python[n = 1]"
    if turn < 6:
        return "Thought: go on\nAction: python[n = n + 1; print(n)]"
    return f"Action: finish[{messages[-1].content.removeprefix('Observation: ').split()[0]}]"


AGENTS: list[tuple[AgentConfig, Program, int, int]] = [
    (RLMConfig(), tree, TREE_CALLS, 16),
    (MemoryConfig(chunk_tokens=10), note, 1 + -(-LINES * 4 // 40), 1),
    (ReactConfig(), count, 7, 1),
]


@pytest.mark.parametrize(("agent", "program", "calls", "in_flight"), AGENTS, ids=["rlm", "memory", "react"])
def test_killed_again_and_again_it_comes_to_the_same_end(
    tmp_path: Path, serve: Serve, agent: AgentConfig, program: Program, calls: int, in_flight: int
) -> None:
    address = serve(ModelServer(ScriptedModel("test", program), latency=0.05).app())
    store = new_run(tmp_path, agent, address)
    draw = random.Random(agent.name)
    kills = 0
    while go_on(store, draw.uniform(0.05, 1.0) if kills < KILLS else PATIENCE) is None:
        kills += 1
    (event,) = store.events(TrajectoryFinished)
    check(event.trajectory, store, calls)
    assert kills >= 1
    assert calls <= counts(address)["requests"] <= calls + kills * in_flight
    assert list((store.folder / "sessions").glob("*")) == []


def check(trajectory: Trajectory, store: RunStore, calls: int) -> None:
    assert trajectory.status == "finished"
    assert total(trajectory.usage.values()).calls == calls
    steps = [event for event in store.events(StepTaken) if event.trajectory_id == trajectory.id]
    assert [event.step for event in steps] == list(trajectory.steps)
    assert [event.index for event in steps] == list(range(len(steps)))
    if trajectory.agent == "rlm":
        assert is_right(trajectory)
        assert [child.answer for child in trajectory.children] == ["4"] * 4
        assert sum(total(child.usage.values()).calls for child in trajectory.children) == 16
    else:
        assert trajectory.answer == str(LINES if trajectory.agent == "memory" else 6)


def test_what_could_not_be_kept_is_told_to_the_model(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path, "run", VerbConfig())

    async def cancelled_after_a_turn() -> Trajectory:
        taken = asyncio.Event()

        def emit(event: Event) -> None:
            store.write(event)
            if isinstance(event, StepTaken):
                taken.set()

        work = asyncio.create_task(play(emit))
        await taken.wait()
        work.cancel()
        return await work

    async def play(emit: Sink) -> Trajectory:
        models = [ScriptedModel("scripted/tree", tree)]
        sandbox, meter = sandbox_factory(SandboxConfig()), Meter(Budget(depth=2))
        context = AgentContext("t#0", models, sandbox, meter, Sampling(), emit, RunJournal(store).of("t#0"))
        return await RLMAgent(RLMConfig()).run(Task(id="t", prompt="How many?"), context)

    assert asyncio.run(cancelled_after_a_turn()).status == "cancelled"
    trajectory = asyncio.run(play(store.write))
    assert trajectory.status == "finished"
    told = trajectory.steps[1].observation.partition("[variables]")[0]
    assert "These variables could not be kept: handle (" in told
    assert "stamp" not in told


def test_calls_of_the_answer_after_the_last_turn_are_drawn_as_before(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path, "run", VerbConfig())
    drawn: list[int] = []

    def speak(messages: Sequence[Message], sampling: Sampling) -> str:
        if messages[0].role == "system":
            return (
                "```repl\nFINAL(llm_query('Which?'))\n```"
                if "no more turns" in messages[-1].content
                else "Hm."
            )
        drawn.append(sampling.sample_index)
        return "This one."

    def killed_before_the_end(event: Event) -> None:
        if not (isinstance(event, StepTaken) and event.checkpoint and event.checkpoint.finished):
            store.write(event)

    for emit in (killed_before_the_end, store.write):
        sandbox, journal = sandbox_factory(SandboxConfig()), RunJournal(store).of("t#0")
        models = [ScriptedModel("scripted/test", speak)]
        context = AgentContext("t#0", models, sandbox, Meter(Budget(turns=1)), Sampling(), emit, journal)
        done = asyncio.run(RLMAgent(RLMConfig()).run(Task(id="t", prompt="?"), context))
        assert (done.status, done.answer, len(done.steps)) == ("limit", "This one.", 2)
    assert len(drawn) == 2
    assert drawn[0] == drawn[1]


def test_a_long_run_takes_room_in_proportion_to_its_turns(tmp_path: Path) -> None:
    sizes = {turns: bytes_after(turns, tmp_path) for turns in TURNS}
    assert sizes[200] < 10_000_000
    assert sizes[200] - sizes[100] < 2.5 * (sizes[100] - sizes[50])
