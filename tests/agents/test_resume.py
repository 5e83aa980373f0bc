"""A run that is killed at any moment goes on from its last finished turn, variables included."""

import asyncio
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from palaestra.agents.base import AgentContext
from palaestra.agents.memory import MemoryConfig
from palaestra.agents.react import ReactConfig
from palaestra.agents.registry import AgentConfig
from palaestra.agents.rlm import RLMAgent, RLMConfig
from palaestra.agents.runner import RunConfig
from palaestra.core.budget import Budget, Meter
from palaestra.core.chat import Message, Sampling
from palaestra.core.config import VerbConfig
from palaestra.core.events import Event, Sink, StepTaken, TrajectoryFinished
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.usage import total
from palaestra.models.config import ModelConfig
from palaestra.models.scripted import Program, ScriptedModel
from palaestra.models.server import ModelServer
from palaestra.sandbox.registry import SandboxConfig, sandbox_factory
from palaestra.store.journal import RunJournal
from palaestra.store.run_store import RunStore

Serve = Callable[[Starlette], str]

GO_ON = """
import asyncio, sys
from pathlib import Path
from palaestra.agents.runner import RunConfig, run
from palaestra.store.run_store import RunStore
store = RunStore.open(Path(sys.argv[1]))
print("working", flush=True)
finished = asyncio.run(run(store.config(RunConfig), store, store.write))
sys.exit(finished.status != "done")
"""
LINES = 40
KILLS = 2


def cell(code: str) -> str:
    return f"```repl\n{code}\n```"


ROOT = [
    cell(
        "import os\nstamp = os.urandom(8).hex()\ndef double(n): return 2 * n\n"
        "found = llm_query_batched([f'line {n}: 1' for n in range(6)])\nhandle = open('x', 'w')\nprint(stamp)"
    ),
    cell("children = rlm_query_batched([f'child {n}' for n in range(4)], ['2'] * 4)\nfound += children"),
    cell("again = llm_query('line 0: 1')"),
    cell("FINAL(f'{stamp} {double(sum(map(int, found)))} {again}')"),
]
CHILD = [
    cell("asked = llm_query_batched([f'line {context}: 2', 'line: 2'])"),
    cell("FINAL(sum(map(int, asked)))"),
]


def tree(messages: Sequence[Message], sampling: Sampling) -> str:
    """A root that asks sub-models and children over four turns, the children, and the sub-models."""
    if messages[0].role != "system":
        return messages[-1].content.partition(": ")[2]
    turn = sum(message.role == "assistant" for message in messages)
    return (CHILD if "child" in messages[1].content else ROOT)[turn]


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
    (RLMConfig(), tree, 6 + 4 + 1 + 4 * (2 + 2), 16),
    (MemoryConfig(chunk_tokens=10), note, 1 + -(-LINES * 4 // 40), 1),
    (ReactConfig(), count, 7, 1),
]


@pytest.mark.parametrize(("agent", "program", "calls", "in_flight"), AGENTS, ids=["rlm", "memory", "react"])
def test_killed_again_and_again_it_comes_to_the_same_end(
    tmp_path: Path, serve: Serve, agent: AgentConfig, program: Program, calls: int, in_flight: int
) -> None:
    address = serve(ModelServer(ScriptedModel("test", program), latency=0.05).app())
    (tmp_path / "context.txt").write_text("one " * LINES)
    config = RunConfig(
        agent=agent,
        model=ModelConfig(name="openai/test", api_base=f"{address}/v1"),
        ask="How many?",
        context=(str(tmp_path / "context.txt"),),
        budget=Budget(depth=2),
    )
    store = RunStore.create(tmp_path / "runs", "run", config)
    draw = random.Random(agent.name)
    kills = 0
    for patience in (*(draw.uniform(0.05, 1.0) for _ in range(KILLS)), 60):
        with subprocess.Popen(
            [sys.executable, "-c", GO_ON, str(store.folder)], stdout=subprocess.PIPE
        ) as work:
            assert work.stdout is not None
            work.stdout.readline()
            try:
                assert work.wait(patience) == 0
                break
            except subprocess.TimeoutExpired:
                work.kill()
                kills += 1
    (event,) = store.events(TrajectoryFinished)
    check(event.trajectory, store, calls)
    asked = httpx.get(f"{address}/stats").json()["requests"]
    assert kills >= 1
    assert calls <= asked <= calls + kills * in_flight
    assert list((store.folder / "sessions").glob("*")) == []


def check(trajectory: Trajectory, store: RunStore, calls: int) -> None:
    assert trajectory.status == "finished"
    assert total(trajectory.usage.values()).calls == calls
    steps = [event for event in store.events(StepTaken) if event.trajectory_id == trajectory.id]
    assert [event.step for event in steps] == list(trajectory.steps)
    assert [event.index for event in steps] == list(range(len(steps)))
    if trajectory.agent == "rlm":
        stamp = trajectory.steps[0].observation.split()[0]
        assert trajectory.answer == f"{stamp} {2 * (6 * 1 + 4 * 4)} 1"
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


def test_a_long_run_takes_room_in_proportion_to_its_turns(tmp_path: Path) -> None:
    sizes = {turns: size_after(turns, tmp_path) for turns in (50, 100, 200)}
    assert sizes[200] < 10_000_000
    assert sizes[200] - sizes[100] < 2.5 * (sizes[100] - sizes[50])


def size_after(turns: int, folder: Path) -> int:
    """Bytes on disk after an RLM run in which every turn shows 20 kB."""
    store = RunStore.create(folder, "run", VerbConfig())
    talk = ScriptedModel("scripted/talk", lambda messages, sampling: cell("print('word ' * 4000)"))
    context = AgentContext(
        trajectory_id="t#0",
        models=[talk],
        sandbox=sandbox_factory(SandboxConfig()),
        meter=Meter(Budget(turns=turns)),
        sampling=Sampling(),
        emit=store.write,
        journal=RunJournal(store).of("t#0"),
    )
    asyncio.run(RLMAgent(RLMConfig()).run(Task(id="t", prompt="?"), context))
    store.close()
    return sum(file.stat().st_size for file in store.folder.rglob("*") if file.is_file())
