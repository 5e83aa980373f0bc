"""What an unreliable endpoint and sudden death do to a tournament: nothing, but that it takes longer."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.applications import Starlette

from palaestra.arena.group import Group, Unranked
from palaestra.arena.judges.llm import LLMJudge, LLMJudgeConfig
from palaestra.arena.judging import JudgeConfig
from palaestra.arena.topologies.registry import TopologyName
from palaestra.arena.tournament import Tournament, TournamentConfig
from palaestra.core.budget import Budget, Meter
from palaestra.core.config import validate
from palaestra.core.events import Event, JudgementGiven, RankingMade
from palaestra.core.ranking import Ranking
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.verdict import Verdict
from palaestra.models.config import ModelConfig
from palaestra.models.registry import load_model
from palaestra.store.run_store import RunStore
from tests.arena.killed_tournament import NotingJudge, play
from tests.arena.stub_endpoint import FAULTS, StubEndpoint

Serve = Callable[[Starlette], str]
Question = tuple[str, str, int]

ROOT = Path(__file__).parents[2]

THINGS = ("a museum", "a garden", "a cheap dinner", "a view", "the Tagus at noon", "tram 28", "some Fado")


def walks(group: str, size: int) -> list[Trajectory]:
    """The first answer of `g1` has a word to itself."""
    draw = random.Random(group)
    return [
        Trajectory(
            id=f"{group}-{seat}",
            task_id=group,
            agent="a",
            status="finished",
            answer=f"First {', then '.join(draw.sample(THINGS, draw.randint(1, 6)))}."
            + " Saudade!" * (group == "g1" and seat == 0),
        )
        for seat in range(size)
    ]


def judged(model: ModelConfig, topology: TopologyName) -> tuple[dict[str, Ranking | Unranked], list[Event]]:
    """Four groups of seven, judged by a language model."""
    events: list[Event] = []

    async def tournament() -> dict[str, Ranking | Unranked]:
        served = load_model(model)
        arena = Tournament(
            LLMJudge(served, LLMJudgeConfig(model=model)),
            TournamentConfig(),
            concurrency=16,
            meter=Meter(Budget(turns=None)),
            emit=events.append,
        )
        prompt = f"Plan a walk with {', '.join(THINGS)}."
        groups = [
            Group.of(f"g{n}", Task(id=f"g{n}", prompt=prompt), walks(f"g{n}", 7), topology, seed=2)
            for n in range(4)
        ]
        try:
            return await arena.play(groups)
        finally:
            await served.close()

    return asyncio.run(tournament()), events


def verdicts(events: list[Event]) -> dict[tuple[str, str, str], tuple[float, float]]:
    return {
        (event.stage, event.first, event.second): event.judgement.scores
        for event in events
        if isinstance(event, JudgementGiven) and isinstance(event.judgement, Verdict)
    }


def test_retries_make_of_an_unreliable_endpoint_a_slow_one(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    stub = StubEndpoint()
    model = ModelConfig(name="openai/judge", api_base=f"{serve(stub.app())}/v1", timeout=1.5)
    results, events = judged(model, "single-elimination")
    faultless, all_events = judged(ModelConfig(name="scripted/judge"), "single-elimination")
    assert stub.met.keys() == {*FAULTS, "answer"}
    assert results == faultless
    assert verdicts(events) == verdicts(all_events)
    assert stub.met["answer"] == len(verdicts(events)) == 4 * 12 * 2


def test_what_no_retry_helped_is_recorded_as_no_verdict_and_changes_nothing_else(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    stub = StubEndpoint(poison="Saudade")
    address = f"{serve(stub.app())}/v1"
    model = ModelConfig(name="openai/judge", api_base=address, timeout=1.5, retries=0)
    results, events = judged(model, "anchor")
    faultless, all_events = judged(ModelConfig(name="scripted/judge"), "anchor")
    given = [event for event in events if isinstance(event, JudgementGiven)]
    assert len(given) == sum(stub.met.values())
    got, wanted = verdicts(events), verdicts(all_events)
    assert got.items() <= wanted.items()
    last = {(event.first, event.second): event for event in given}
    for first, second in {(first, second) for _, first, second in wanted.keys() - got.keys()}:
        assert last[first, second].attempt == 2
    missing = Counter(event.group for event in last.values() if not isinstance(event.judgement, Verdict))
    assert missing["g1"] == 2 * 6
    assert sum(missing.values()) - missing["g1"] <= 6
    assert isinstance(unranked := results.pop("g1"), Unranked)
    assert "out of order" in unranked.reason
    for group, ranking in results.items():
        assert isinstance(ranking, Ranking)
        assert (ranking == faultless[group]) == (not missing[group]) == (not ranking.undecided)


def questions(file: Path) -> list[Question]:
    """Those in the file of all that was asked; a last line that was cut off by the kill is none."""
    lines = file.read_text().splitlines() if file.exists() else []
    return [(first, second, int(attempt)) for first, second, attempt in (line.split() for line in lines)]


def stored(store: RunStore) -> set[Question]:
    return {(event.first, event.second, event.attempt) for event in store.events(JudgementGiven)}


def test_ten_kills_cost_no_verdict_and_change_no_ranking(tmp_path: Path) -> None:
    settings = validate(JudgeConfig, {"systems": ["a"], "judge": "scripted/judge"}, "test")
    whole = RunStore.create(tmp_path / "whole", "judge", settings)
    play(whole, NotingJudge(tmp_path / "whole.txt", seconds=0))
    store = RunStore.create(tmp_path / "killed", "judge", settings)
    asked = tmp_path / "asked.txt"
    command = [sys.executable, "-m", "tests.arena.killed_tournament", str(store.folder), str(asked)]
    draw = random.Random(8)
    for _ in range(10):
        before, kept, wanted = len(questions(asked)), stored(store), draw.randint(1, 16)
        with subprocess.Popen(command, cwd=ROOT) as process:
            while process.poll() is None and len(questions(asked)) < before + wanted:
                time.sleep(0.002)
            time.sleep(draw.uniform(0, 0.02))
            process.kill()
        assert process.returncode == -9
        assert not kept & set(questions(asked)[before:])
    kept, before = stored(store), len(questions(asked))
    subprocess.run(command, check=True, cwd=ROOT)
    assert not kept & set(questions(asked)[before:])
    assert len(questions(asked)) <= len(stored(store)) + 10 * 4
    rankings = {event.group: event.ranking for event in store.events(RankingMade)}
    assert rankings == {event.group: event.ranking for event in whole.events(RankingMade)}
    assert stored(store) == stored(whole)
    for each in (store, whole):
        each.close()
