"""The work of `palaestra judge` on a run store, without a process or a network of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import get_args

import httpx
import pytest
from starlette.applications import Starlette

from palaestra.arena.forecast import calls_for, foresee
from palaestra.arena.judging import JudgeConfig, judge, system_names
from palaestra.arena.leaderboard import rank_systems
from palaestra.arena.topologies.registry import TopologyName
from palaestra.core.chat import Message, Sampling
from palaestra.core.config import validate
from palaestra.core.errors import ConfigError, DataError, JudgeError, ModelUnreachable, PalaestraError
from palaestra.core.events import (
    Event,
    JudgementGiven,
    RankingMade,
    RunFinished,
    Sink,
    TaskLoaded,
    TrajectoryFinished,
)
from palaestra.core.trajectory import Trajectory
from palaestra.core.usage import total
from palaestra.datasets.families import family
from palaestra.datasets.source import AnswerSource
from palaestra.models.programs.judge import judge as ballot
from palaestra.models.scripted import Program, ScriptedModel
from palaestra.models.server import ModelServer
from palaestra.store.run_store import RunStore

Serve = Callable[[Starlette], str]

PROMPTS = [f"Plan walk {n} with a museum, a garden and a cheap dinner." for n in range(6)]
PRICES = {"gpt-4o": (2.5, 10.0), "gpt-4o-mini": (0.15, 0.6)}
"""US dollars for a million tokens in and out."""
PLANS = {
    "good": "At 10:00 the Gulbenkian museum, at 14:00 the Estrela garden, at 19:30 a cheap dinner for 12.",
    "fair": "A museum first, then a garden.",
    "poor": "I cannot say.",
}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    for name, plan in PLANS.items():
        write(
            tmp_path / f"{name}.jsonl",
            *({"id": n, "prompt": p, "answer": plan} for n, p in enumerate(PROMPTS)),
        )
    return {name: str(tmp_path / f"{name}.jsonl") for name in PLANS}


def write(file: Path, *rows: Mapping[str, object]) -> str:
    file.write_text("\n".join(map(json.dumps, rows)))
    return str(file)


def configured(**settings: object) -> JudgeConfig:
    return validate(JudgeConfig, settings, source="test")


def carry_out(store: RunStore, config: JudgeConfig) -> tuple[RunFinished, list[Event]]:
    """One start of the run. Gives how it ended and what was written in it."""
    written: list[Event] = []

    def emit(event: Event) -> None:
        store.write(event)
        written.append(event)

    return asyncio.run(judge(config, store, emit)), written


def start(tmp_path: Path, config: JudgeConfig) -> tuple[RunStore, RunFinished]:
    store = RunStore.create(tmp_path / "runs", "judge", config)
    return store, carry_out(store, config)[0]


def test_systems_are_ranked_prompt_by_prompt(files: dict[str, str], tmp_path: Path) -> None:
    config = configured(systems=[files["poor"], files["good"], files["fair"]], judge="scripted/judge")
    store, finished = start(tmp_path, config)
    assert finished.status == "done"
    rankings = {event.group: event.ranking for event in store.events(RankingMade)}
    assert rankings.keys() == {f"{n}" for n in range(6)}
    for prompt, ranking in rankings.items():
        assert ranking.ranks == {f"good/{prompt}": 0, f"fair/{prompt}": 1, f"poor/{prompt}": 2}
    trajectories = [event.trajectory for event in store.events(TrajectoryFinished)]
    board = rank_systems(store.events(JudgementGiven), trajectories)
    assert [(row.system, row.wins, row.losses) for row in board.systems] == [
        ("good", 12, 0),
        ("fair", 6, 6),
        ("poor", 0, 12),
    ]
    assert (board.judged, board.agreeing, board.usage["scripted/judge"].calls) == (18, 18, 36)
    store.close()


def test_prompts_with_one_answer_are_kept_but_not_judged(files: dict[str, str], tmp_path: Path) -> None:
    some = write(tmp_path / "some.jsonl", *({"id": n, "prompt": PROMPTS[n], "answer": "?"} for n in (1, 4)))
    config = configured(systems=[files["good"], some], judge="scripted/judge", limit=5)
    store, finished = start(tmp_path, config)
    assert finished.status == "done"
    assert {event.group for event in store.events(RankingMade)} == {"1", "4"}
    assert [event.task.id for event in store.events(TaskLoaded)] == ["0", "1", "2", "3", "4"]
    store.close()


def test_a_limit_on_cost_ends_the_run_and_a_higher_one_lets_it_go_on(
    files: dict[str, str], tmp_path: Path, serve: Serve
) -> None:
    systems = [files["good"], files["fair"]]
    address = serve(ModelServer(ScriptedModel("gpt-4o", ballot)).app())
    model = {"name": "openai/gpt-4o", "api_base": f"{address}/v1"}
    config = configured(systems=systems, judge={"model": model}, max_cost=0, concurrency=2)
    store, finished = start(tmp_path, config)
    assert finished.status == "limit"
    assert finished.reason.startswith("max_cost=0 USD is used up (0.00")
    assert 1 <= sum(1 for _ in store.events(JudgementGiven)) <= 2
    higher = config.model_copy(update={"max_cost": 1.0})
    finished, written = carry_out(store, higher)
    assert finished.status == "done"
    assert {event.kind for event in written} == {"judgement-given", "ranking-made"}
    assert sum(1 for _ in store.events(JudgementGiven)) == httpx.get(f"{address}/stats").json()["calls"] == 12
    store.close()


def unreadable_at_first(messages: Sequence[Message], sampling: Sampling) -> str:
    return ballot(messages, sampling) if sampling.temperature else "Hm."


@pytest.mark.parametrize("program", [ballot, unreadable_at_first])
@pytest.mark.parametrize("kind", ["llm", "listwise", "pointwise"])
def test_every_answer_is_billed_once_wherever_the_run_was_killed(
    kind: str, program: Program, tmp_path: Path, serve: Serve
) -> None:
    """Two of the answers are equal, so that verdicts rest on one answer of the model within a start, too."""
    plans = {"good": PLANS["good"], "twin": PLANS["good"], "fair": PLANS["fair"]}
    systems = [
        write(tmp_path / f"{name}.jsonl", {"id": 0, "prompt": PROMPTS[0], "answer": plan})
        for name, plan in plans.items()
    ]
    address = serve(ModelServer(ScriptedModel("gpt-4o", program)).app())
    model = {"name": "openai/gpt-4o", "api_base": f"{address}/v1"}
    config = configured(systems=systems, judge={"kind": kind, "model": model}, concurrency=1)
    store = RunStore.create(tmp_path / "runs", "judge", config)

    class Killed(Exception):
        pass

    def write_until(number: int) -> Sink:
        """Until the judgement of that number, which is lost."""
        places = count(1)

        def write_or_die(event: Event) -> None:
            if isinstance(event, JudgementGiven) and next(places) == number:
                raise Killed
            store.write(event)

        return write_or_die

    for number in (1, 2, 3):
        with pytest.raises(Killed):
            asyncio.run(judge(config, store, write_until(number)))
    finished, _ = carry_out(store, config)
    assert finished.status == "done"
    billed = total(event.judgement.usage for event in store.events(JudgementGiven))
    assert billed.calls == httpx.get(f"{address}/stats").json()["calls"]
    store.close()


def test_a_judge_that_is_free_needs_no_money(files: dict[str, str], tmp_path: Path) -> None:
    config = configured(systems=[files["good"], files["fair"]], judge="scripted/judge", max_cost=0)
    store, finished = start(tmp_path, config)
    assert finished.status == "done"
    store.close()


def test_a_finished_run_started_again_writes_nothing(files: dict[str, str], tmp_path: Path) -> None:
    config = configured(systems=[files["good"], files["fair"]], judge="scripted/judge")
    store, _ = start(tmp_path, config)
    finished, written = carry_out(store, config)
    assert (finished.status, written) == ("done", [])
    store.close()


def test_files_that_changed_since_are_refused(files: dict[str, str], tmp_path: Path) -> None:
    config = configured(systems=[files["good"], files["fair"]], judge="scripted/nonsense", limit=1)
    store = RunStore.create(tmp_path / "runs", "judge", config)
    with pytest.raises(JudgeError):
        carry_out(store, config)
    write(Path(files["good"]), {"id": 0, "prompt": PROMPTS[0], "answer": "Better."})
    with pytest.raises(DataError, match="good/0 has changed since this run began; start a new run"):
        carry_out(store, config)
    store.close()


def test_a_judge_that_answers_nonsense_is_an_error_with_everything_kept(
    files: dict[str, str], tmp_path: Path
) -> None:
    config = configured(systems=[files["good"], files["fair"]], judge="scripted/nonsense", limit=2)
    store = RunStore.create(tmp_path / "runs", "judge", config)
    with pytest.raises(JudgeError, match=r"no prompt got a verdict \(no verdict at .*\); try another judge"):
        carry_out(store, config)
    assert sum(1 for _ in store.events(JudgementGiven)) == 2 * 2 * 3
    store.close()


def test_a_judge_whose_window_is_too_small_is_told_what_to_lower(
    files: dict[str, str], tmp_path: Path
) -> None:
    model = {"name": "scripted/judge", "context_window": 500}
    config = configured(systems=[files["good"], files["fair"]], judge={"model": model}, limit=1)
    with pytest.raises(JudgeError, match="or lower the judge's evidence_chars"):
        start(tmp_path, config)


def test_an_unreachable_judge_is_an_error(
    files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    model = {"name": "openai/judge", "api_base": "http://127.0.0.1:9/v1", "retries": 0}
    with pytest.raises(ModelUnreachable, match=r"127\.0\.0\.1:9"):
        start(tmp_path, configured(systems=[files["good"], files["fair"]], judge={"model": model}))


def earlier_run(tmp_path: Path, answers: Mapping[int, Sequence[str]]) -> str:
    """The folder of a run that answered some trips, perhaps repeatedly."""
    tasks = family("trip").tasks(len(answers), "train")
    store = RunStore.create(
        tmp_path / "earlier", "run", configured(systems=["a.jsonl"], judge="scripted/judge")
    )
    for task, texts in zip(tasks, answers.values(), strict=True):
        store.write(TaskLoaded(task=task))
        for repeat, text in enumerate(texts):
            trajectory = Trajectory(
                id=f"{task.id}#{repeat}", task_id=task.id, agent="rlm", status="finished", answer=text
            )
            store.write(TrajectoryFinished(trajectory=trajectory))
    store.close()
    return str(store.folder)


def test_earlier_runs_and_files_are_judged_by_a_familys_utility(tmp_path: Path) -> None:
    trip = family("trip")
    examples = trip.examples(6)
    planner = write(
        tmp_path / "planner.jsonl",
        *({**each.task.model_dump(mode="json"), "answer": each.answer} for each in examples),
    )
    silent = write(
        tmp_path / "silent.jsonl",
        *({**each.task.model_dump(mode="json"), "answer": "no plan"} for each in examples),
    )
    config = configured(systems=[planner, silent], judge="programmatic/trip", topology="anchor")
    store, finished = start(tmp_path, config)
    assert finished.status == "done"
    ranks = {event.group: event.ranking.ranks for event in store.events(RankingMade)}
    for task, answer in examples:
        worth = trip.utility(task, answer)
        assert ranks[task.id] == {f"planner/{task.id}": 0, f"silent/{task.id}": int(worth > 0)}
    store.close()


def test_repeated_answers_of_a_system_meet_only_other_systems_and_all_of_them_play(tmp_path: Path) -> None:
    three = earlier_run(tmp_path, {0: ["a", "b", "c"], 1: ["d"]})
    two = earlier_run(tmp_path, {0: ["e", "f"], 1: ["g", "h"]})
    systems = [{"path": three, "name": "three"}, {"path": two, "name": "two"}]
    config = configured(systems=systems, judge="programmatic/trip", topology="single-elimination")
    store, finished = start(tmp_path, config)
    assert finished.status == "done"
    asked = {frozenset((event.first, event.second)) for event in store.events(JudgementGiven)}
    first, second = (event.task.id for event in store.events(TaskLoaded))
    assert asked == {
        frozenset((f"three/{first}#0", f"two/{first}#0")),
        frozenset((f"three/{first}#1", f"two/{first}#1")),
        frozenset((f"three/{first}#2", f"two/{first}#0")),
        frozenset((f"three/{second}#0", f"two/{second}#0")),
        frozenset((f"three/{second}#0", f"two/{second}#1")),
    }
    groups = {event.group for event in store.events(RankingMade)}
    assert groups == {*(f"{first}#{turn}" for turn in range(3)), *(f"{second}#{turn}" for turn in range(2))}
    store.close()


def test_one_system_alone_has_its_repeated_answers_ranked(tmp_path: Path) -> None:
    folder = earlier_run(tmp_path, {0: ["a", "b", "c"], 1: ["d"]})
    store, finished = start(tmp_path, configured(systems=[folder], judge="programmatic/trip"))
    assert finished.status == "done"
    [event] = store.events(RankingMade)
    assert len(event.ranking.standings) == 3
    store.close()


def test_a_forecast_counts_what_the_run_then_asks_and_bounds_what_it_consumes(
    files: dict[str, str], tmp_path: Path
) -> None:
    for topology in get_args(TopologyName):
        config = configured(systems=list(files.values()), judge="scripted/judge", topology=topology)
        expected = asyncio.run(foresee(config))
        store, _ = start(tmp_path, config)
        asked = [event.judgement.usage for event in store.events(JudgementGiven)]
        assert (expected.groups, expected.questions) == (6, len(asked)), topology
        [usage] = expected.usage.values()
        spent = total(asked)
        assert spent.tokens_in <= usage.tokens_in <= 2 * spent.tokens_in
        assert usage.tokens_out == 4096 * len(asked)
        store.close()


def test_a_forecast_knows_prices_judge_by_judge_and_asks_nobody(
    files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    nobody = "http://127.0.0.1:9/v1"
    members = [{"judge": {"model": {"name": f"openai/{name}", "api_base": nobody}}} for name in PRICES]
    config = configured(systems=[files["good"], files["fair"]], judge={"kind": "panel", "judges": members})
    expected = asyncio.run(foresee(config))
    for (name, usage), (tokens_in, tokens_out) in zip(expected.usage.items(), PRICES.values(), strict=True):
        assert usage.calls == expected.questions == 12
        assert usage.cost == pytest.approx(
            (usage.tokens_in * tokens_in + usage.tokens_out * tokens_out) / 1e6
        )
        assert name.removeprefix("openai/") in PRICES
    assert expected.cost is not None
    each = expected.cost / 12
    assert asyncio.run(calls_for(6 * each * 3.5, config)) == 3
    with pytest.raises(ConfigError, match="does not pay for one call in each of 6 groups"):
        asyncio.run(calls_for(5 * each, config))
    with pytest.raises(ConfigError, match="no known price"):
        asyncio.run(
            calls_for(
                1,
                config.model_copy(update={"judge": configured(systems=["a"], judge="scripted/judge").judge}),
            )
        )


@pytest.mark.parametrize(
    ("second", "judge_name", "error", "message"),
    [
        ("gone.jsonl", "scripted/judge", DataError, "cannot read .*gone.jsonl"),
        ("other.jsonl", "scripted/judge", DataError, "no prompt has two answers"),
        (
            "changed.jsonl",
            "scripted/judge",
            DataError,
            "good and changed have different prompts under the id '0'",
        ),
        ("fair.jsonl", "scripted/jugde", ConfigError, "no scripted model 'jugde'"),
        ("fair.jsonl", "programmatic/tripp", ConfigError, "unknown task family 'tripp'"),
    ],
)
def test_what_cannot_be_judged_is_told(
    second: str,
    judge_name: str,
    error: type[PalaestraError],
    message: str,
    files: dict[str, str],
    tmp_path: Path,
) -> None:
    write(tmp_path / "other.jsonl", {"id": "x", "prompt": "p", "answer": "a"})
    write(tmp_path / "changed.jsonl", {"id": 0, "prompt": "Plan a swim.", "answer": "a"})
    config = configured(systems=[files["good"], str(tmp_path / second)], judge=judge_name)
    with pytest.raises(error, match=message):
        start(tmp_path, config)


def test_systems_are_called_by_file_then_by_folder_then_as_configured() -> None:
    def names(*paths: str) -> list[str]:
        return system_names([AnswerSource(path=path) for path in paths])

    assert names("x/a.jsonl", "x/b.parquet") == ["a", "b"]
    assert names("x/out.jsonl", "y/out.jsonl", "c.jsonl") == ["x/out", "y/out", "c"]
    assert system_names([AnswerSource(path="a.jsonl", name="n"), AnswerSource(path="b.jsonl")]) == ["n", "b"]
    with pytest.raises(ConfigError, match="two systems are called 'x/out'"):
        names("x/out.jsonl", "x/out.jsonl")


def test_a_judge_is_configured_by_name_or_in_full() -> None:
    systems = ["a.jsonl"]
    by_name = configured(systems=systems, judge="openai/m")
    assert by_name == configured(systems=systems, judge={"model": "openai/m"})
    assert by_name == configured(systems=systems, judge={"kind": "llm", "model": {"name": "openai/m"}})
    assert configured(systems=systems, judge="programmatic/trip") == configured(
        systems=systems, judge={"kind": "programmatic", "family": "trip"}
    )
    with pytest.raises(ConfigError, match="evidence_char'"):
        configured(systems=systems, judge={"model": "openai/m", "evidence_char": 5})
