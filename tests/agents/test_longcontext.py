"""The scripted reader in the role of every agent, and the bench that runs them side by side."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from palaestra.agents.base import AgentContext
from palaestra.agents.longcontext import LongContextConfig, Point, bench, by_family, points, results_of
from palaestra.agents.memory import MemoryConfig
from palaestra.agents.plain import PlainConfig
from palaestra.agents.react import ReactConfig
from palaestra.agents.registry import AgentConfig, make_agent
from palaestra.agents.rlm import RLMConfig
from palaestra.core.budget import Budget, Meter
from palaestra.core.chat import Sampling
from palaestra.core.errors import ConfigError
from palaestra.core.events import Event, TaskLoaded, TrajectoryFinished, discard
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.usage import total
from palaestra.datasets.families import LONG_CONTEXT_FAMILIES, long_context_family
from palaestra.datasets.scores import Scored
from palaestra.datasets.shelf import Shelf
from palaestra.models.config import ModelConfig
from palaestra.models.registry import load_model
from palaestra.sandbox.registry import SandboxConfig, sandbox_factory
from palaestra.store.run_store import RunStore

AGENTS: Sequence[AgentConfig] = (
    PlainConfig(),
    ReactConfig(),
    RLMConfig(),
    MemoryConfig(),
    MemoryConfig(form="plan"),
)
MODEL = ModelConfig(name="scripted/long-context", context_window=32_768)


def play(config: AgentConfig, task: Task) -> Trajectory:
    context = AgentContext(
        trajectory_id=task.id,
        models=[load_model(MODEL)],
        sandbox=sandbox_factory(SandboxConfig()),
        meter=Meter(Budget()),
        sampling=Sampling(),
        emit=discard,
    )
    return asyncio.run(make_agent(config, MODEL).run(task, context))


@pytest.mark.parametrize("name", LONG_CONTEXT_FAMILIES)
def test_every_agent_answers_a_short_context(name: str, tmp_path: Path) -> None:
    """The reader shares no code with the generators: its right answers are evidence for theirs."""
    family = long_context_family(name)
    for task in family.tasks(2, 4000, Shelf(tmp_path), seed=5):
        for config in AGENTS:
            trajectory = play(config, task)
            assert trajectory.status == "finished", trajectory.reason
            assert family.utility(task, trajectory.answer) == 1.0, (config, task.request, trajectory.answer)


def test_the_reader_alone_knows_what_every_question_asks(tmp_path: Path) -> None:
    for name in (
        "oolong-counting",
        "oolong-user",
        "oolong-timeline",
        "oolong-pairs",
        "corpus-qa",
        "dialogue-memory",
    ):
        family = long_context_family(name)
        tasks = family.tasks(20, 16_000, Shelf(tmp_path), seed=6)
        assert [family.utility(task, play(PlainConfig(), task).answer) for task in tasks] == [1.0] * 20, name


def scores(name: str, config: AgentConfig, tokens: int, folder: Path) -> float:
    family = long_context_family(name)
    tasks = family.tasks(2, tokens, Shelf(folder))
    return sum(family.utility(task, play(config, task).answer) for task in tasks) / len(tasks)


def test_each_agent_breaks_where_it_must(tmp_path: Path) -> None:
    (task,) = long_context_family("niah-single").tasks(1, 60_000, Shelf(tmp_path))
    alone = play(PlainConfig(), task)
    assert (alone.status, alone.answer) == ("limit", "")
    assert "the context does not fit" in alone.reason
    assert "32768" in alone.reason
    assert scores("niah-single", MemoryConfig(), 60_000, tmp_path) == 1.0
    assert scores("oolong-pairs", MemoryConfig(), 60_000, tmp_path) < 0.2, (
        "the memory does not hold all users"
    )
    assert scores("corpus-qa", ReactConfig(), 60_000, tmp_path) == 0.0, "too many pages"
    sub_calls = RLMConfig(sub_call_chars=80_000)
    assert scores("corpus-qa", sub_calls, 60_000, tmp_path) == 1.0
    assert scores("corpus-qa", RLMConfig(sub_call_chars=200_000), 60_000, tmp_path) == 0.0, (
        "over the sub-model's window"
    )


def test_points_are_means_by_agent_and_length() -> None:
    def result(agent: str, tokens: int, score: float, seconds: float) -> Scored:
        task = Task(id="t", prompt="?", family="f", metadata={"tokens": tokens})
        trajectory = Trajectory(
            id="x", task_id="t", agent=agent, status="finished", answer="", seconds=seconds
        )
        return Scored(task, trajectory, score)

    results = [
        result("rlm", 8, 1.0, 2.0),
        result("rlm", 4, 0.5, 1.0),
        result("plain", 8, 0.0, 1.0),
        result("rlm", 8, 0.0, 4.0),
    ]
    found = points(results)
    assert [(each.agent, each.tokens, each.tasks, each.score, each.seconds) for each in found] == [
        ("rlm", 4, 1, 0.5, 1.0),
        ("rlm", 8, 2, 0.5, 3.0),
        ("plain", 8, 1, 0.0, 1.0),
    ]
    assert by_family(results) == {"f": found}


def config_of(**settings: object) -> LongContextConfig:
    given = {
        "agents": [{"name": "plain"}, {"name": "memory"}],
        "lengths": [2048, 8192],
        "families": ["mrcr-4", "oolong-user"],
    }
    return LongContextConfig.model_validate(given | settings)


def test_a_bench_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    config = config_of()
    store = RunStore.create(tmp_path / "runs", "bench", config)

    def fail_after_five(event: Event) -> None:
        if isinstance(event, TrajectoryFinished) and sum(1 for _ in store.events(TrajectoryFinished)) == 5:
            raise OSError("the disk is full")
        store.write(event)

    with pytest.raises(ExceptionGroup):
        asyncio.run(bench(config, store, fail_after_five))
    first = {event.trajectory.id: event.trajectory for event in store.events(TrajectoryFinished)}
    assert len(first) == 5
    assert asyncio.run(bench(config, store, store.write)).status == "done"
    finished = {event.trajectory.id: event.trajectory for event in store.events(TrajectoryFinished)}
    assert len(finished) == 2 * 2 * 2 * 2
    assert {name: finished[name] for name in first} == first
    assert sum(1 for _ in store.events(TaskLoaded)) == 8
    assert len(list((store.folder / "contexts").iterdir())) == 2 * 2 + 2, (
        "one window for both OOLONG questions"
    )
    found = points(results_of(store))
    assert [(each.agent, each.tokens) for each in found] == [
        ("plain", 2048),
        ("plain", 8192),
        ("memory", 2048),
        ("memory", 8192),
    ]
    assert all(isinstance(each, Point) and each.score == 1.0 and each.tasks == 4 for each in found)
    used = sum(each.usage.tokens for each in found)
    assert used == total(usage for each in finished.values() for usage in each.usage.values()).tokens
    store.close()


def test_an_agent_has_settings_of_its_own() -> None:
    config = config_of(agents=[{"name": "memory", "chunk_tokens": 100}])
    assert config.agents == (MemoryConfig(chunk_tokens=100),)
    with pytest.raises(ValueError, match="swarm"):
        config_of(agents=[{"name": "swarm"}])


def test_too_short_a_length_is_refused(tmp_path: Path) -> None:
    config = config_of(lengths=[300])
    store = RunStore.create(tmp_path, "bench", config)
    with pytest.raises(ConfigError, match="300 tokens are too few for mrcr-4"):
        asyncio.run(bench(config, store, store.write))
    store.close()
