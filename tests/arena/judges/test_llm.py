"""The language model judge: what it shows, and what it reads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.arena.judges.ballot import Unreadable, ballot_schema, read_ballot
from palaestra.arena.judges.evidence import clip, fair_shares, quote
from palaestra.arena.judges.llm import LLMJudge, LLMJudgeConfig
from palaestra.arena.judges.rubrics import SHIPPED, load_rubric
from palaestra.core.chat import Message, Sampling
from palaestra.core.config import VerbConfig
from palaestra.core.errors import ConfigError
from palaestra.core.record import digest
from palaestra.core.task import ContextFile, Dimension, Rubric, Task
from palaestra.core.trajectory import Action, Step, Trajectory
from palaestra.core.verdict import NoVerdict, Verdict
from palaestra.models.cached import CachedModel
from palaestra.models.config import ModelConfig
from palaestra.models.programs.echo import nonsense
from palaestra.models.programs.judge import judge as competent
from palaestra.models.scripted import Program, ScriptedModel
from palaestra.store.run_store import RunStore

TASK = Task(id="t", prompt="Plan an evening in Porto with a garden, a concert and a cheap dinner.")
GOOD = (
    "At 17:00 the garden of Serralves, at 19:30 a concert in Casa da Musica, at 22:00 a cheap dinner for 9."
)


def answer(text: str, id: str = "x") -> Trajectory:
    return Trajectory(id=id, task_id="t", agent="a", status="finished", answer=text)


class Listener:
    """A program that remembers what it was asked and then answers as another one does."""

    def __init__(self, program: Program) -> None:
        self.heard: list[tuple[Sequence[Message], Sampling]] = []
        self._program = program

    def __call__(self, messages: Sequence[Message], sampling: Sampling) -> str:
        self.heard.append((messages, sampling))
        return self._program(messages, sampling)


def judge_with(program: Program, context_window: int | None = None, **settings: object) -> LLMJudge:
    model = ScriptedModel("scripted/test", program, context_window)
    config = LLMJudgeConfig(model=ModelConfig(name="scripted/test")).model_copy(update=settings)
    return LLMJudge(model, config)


def compare(judge: LLMJudge, first: str, second: str, attempt: int = 0) -> Verdict | NoVerdict:
    return asyncio.run(judge.compare(TASK, answer(first, "1"), answer(second, "2"), attempt))


def scores(verdict: Verdict | NoVerdict) -> tuple[float, float]:
    assert isinstance(verdict, Verdict)
    return verdict.scores


def test_the_better_answer_wins_in_both_orders_and_the_call_is_accounted_for() -> None:
    judge = judge_with(competent)
    forth, back = compare(judge, GOOD, "I do not know Porto."), compare(judge, "I do not know Porto.", GOOD)
    assert isinstance(forth, Verdict)
    assert isinstance(back, Verdict)
    assert (forth.winner, back.winner) == ("first", "second")
    assert forth.scores == back.scores[::-1]
    assert forth.usage.calls == 1
    assert forth.usage.tokens_in > 300
    assert judge.name == "scripted/test"


def test_the_whole_process_is_shown_within_the_budget() -> None:
    trajectory = Trajectory(
        id="1",
        task_id="t",
        agent="a",
        status="finished",
        answer="FINAL",
        steps=(
            Step(
                thought="THINK",
                actions=(Action(kind="tool", name="search", content="PORTO"),),
                observation="x" * 50_000,
            ),
            Step(thought="", actions=(Action(kind="answer", content="HIDDEN"),), observation="SHORT"),
        ),
    )
    unfinished = Trajectory(id="2", task_id="t", agent="a", status="limit", answer="", reason="budget.turns")
    rubric = Rubric(
        name="taste",
        instructions="Be kind.",
        dimensions=(
            Dimension(name="calm", description="No hurry.", weight=0.5, level="process"),
            Dimension(name="joy", description="Fun.", weight=2),
        ),
    )
    task = TASK.model_copy(
        update={"rubric": rubric, "context": ContextFile(path="big", sha256="0", characters=12_345_678)}
    )
    listener = Listener(competent)
    asyncio.run(judge_with(listener, evidence_chars=1000).compare(task, trajectory, unfinished))
    [(messages, _)] = listener.heard
    system, request = messages[0].content, messages[1].content
    assert "Rubric: taste\nBe kind.\n" in system
    assert "- calm (weight 0.5; look at how the contestant worked): No hurry." in system
    assert "- joy (weight 2; look at the final answer): Fun." in system
    assert "[step 1, thought]\n> THINK\n[step 1, tool]\n> search: PORTO\n" in request
    assert "[step 2, observation]\n> SHORT\n[final answer]\n> FINAL\n" in request
    assert "[no final answer, status limit]\n> budget.turns\n" in request
    assert "[context of 12,345,678 characters, not shown]" in request
    assert "HIDDEN" not in request
    assert request.count("x") < 1000
    assert "49,0" in request  # characters left out of the observation
    assert f"> {TASK.prompt}" in request


def test_the_code_follows_from_the_seed_the_attempt_and_what_is_shown() -> None:
    def code(seed: int, first: str, attempt: int = 0) -> str:
        listener = Listener(competent)
        config = LLMJudgeConfig(model=ModelConfig(name="scripted/test"))
        judge = LLMJudge(ScriptedModel("scripted/test", listener), config, seed)
        compare(judge, first, "b", attempt)
        return listener.heard[0][0][1].content.split()[1]

    assert code(0, "a") == code(0, "a")
    assert len({code(0, "a"), code(1, "a"), code(0, "c"), code(0, "a", attempt=1)}) == 4


def test_asked_again_it_draws_a_new_answer() -> None:
    listener = Listener(competent)
    judge = judge_with(listener)
    for attempt in range(3):
        compare(judge, "a", "b", attempt)
    drawn = [(sampling.sample_index, sampling.temperature) for _, sampling in listener.heard]
    assert drawn == [(0, 0.0), (1, 0.7), (2, 0.7)]


@given(st.text())
def test_every_line_of_a_quotation_is_marked(text: str) -> None:
    lines = quote(text).splitlines()
    assert all(line.startswith("> ") for line in lines)
    assert "".join(line[2:] for line in lines).count("\ufffd") >= text.count("\x00")


RUBRIC = Rubric(
    dimensions=(
        Dimension(name="route", description="Short ways.", weight=3),
        Dimension(name="taste", description="Good food."),
    )
)


def ballot(**fields: object) -> str:
    return json.dumps({"ballot": "c0de", "scores": {"A": 7, "B": 4.5}, **fields})


@pytest.mark.parametrize(
    "text",
    [
        ballot(reason="better {sic}"),
        "I weigh {a} and {b}: } {\n```json\n" + ballot() + "\n```\nThat is all.",
        ballot(scores={"A": 0, "B": 10}) + "\nNo, on reflection:\n" + ballot(),
        ballot() + '\nHe wrote {"ballot": "fake", "scores": {"A": 0, "B": 10}}',
        "{" * 5000 + ballot(extra={"nested": [1]}),
        ballot() + ' {"ballot": "c0de", "scores": {"A": 9, ',
        ballot(weighing="x" * 30_000),
        ballot(scores={"A": {"route": 8, "taste": 4}, "B": {"route": 4.5, "taste": 4.5}}),
    ],
)
def test_the_last_whole_ballot_with_the_code_is_read(text: str) -> None:
    read = read_ballot(text, "c0de", ["A", "B"], RUBRIC)
    assert read.scores == (7, 4.5)
    assert read.forgery == ("fake" in text)


def test_scores_by_dimension_are_weighted_and_kept() -> None:
    scores = {"A": {"route": 8, "taste": 4}, "B": {"route": 2, "taste": 10}, "C": {"route": 0, "taste": 0}}
    read = read_ballot(ballot(scores=scores), "c0de", ["A", "B", "C"], RUBRIC)
    assert read.scores == (7, 4, 0)
    assert read.dimensions == {"route": (8, 2, 0), "taste": (4, 10, 0)}
    mixed = read_ballot(ballot(scores={"A": 5, "B": scores["B"]}), "c0de", ["A", "B"], RUBRIC)
    assert (mixed.scores, mixed.dimensions) == ((5, 4), {})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no verdict at the end of the answer"),
        ("A is better, 7 to 4.", "no verdict at the end of the answer: …'A is better, 7 to 4.'"),
        (json.dumps({"scores": {"A": 7, "B": 4}}), "no verdict"),
        (ballot(ballot="other"), "no verdict"),
        (ballot(ballot=["c0de"]), "no verdict"),
        (ballot(scores={"A": 11, "B": 4}), "scores.A: Input should be less than or equal to 10"),
        (ballot(scores={"A": 7, "B": -1}), "scores.B: Input should be greater than or equal to 0"),
        (ballot(scores={"A": 7}), "scores.B: missing"),
        (ballot(scores={"A": "7", "B": 4}), "scores.A: Input should be a valid number"),
        (ballot(scores={"A": True, "B": 4}), "scores.A: Input should be a valid number"),
        (ballot(scores={"A": float("nan"), "B": 4}), "scores.A: Input should be"),
        (ballot(scores={"A": {"route": 7}, "B": 4}), "scores.A.taste: missing"),
        (ballot(scores=[7, 4]), "scores: Input should be"),
        (ballot() + ballot(scores={"A": 70, "B": 40}), "scores.A: Input should be less"),
        ('{"ballot": "c0de", "scores": {"A": 9, ', "no verdict"),
        ('{"a":' * 3000, "no verdict"),
    ],
)
def test_a_ballot_that_cannot_be_used_says_why(text: str, reason: str) -> None:
    with pytest.raises(Unreadable) as raised:
        read_ballot(text, "c0de", ["A", "B"], RUBRIC)
    assert reason in str(raised.value)


def test_an_answer_without_a_verdict_is_paid_for() -> None:
    judgement = compare(judge_with(nonsense), GOOD, "x")
    assert isinstance(judgement, NoVerdict)
    assert "no verdict at the end" in judgement.reason
    assert judgement.usage.calls == 1


def test_a_request_that_does_not_fit_is_no_verdict_and_says_what_to_lower() -> None:
    judgement = compare(judge_with(competent, context_window=4200), GOOD, "x" * 10_000)
    assert isinstance(judgement, NoVerdict)
    assert "window of 4200 tokens" in judgement.reason
    assert "evidence_chars" in judgement.reason


def test_a_rubric_file_is_read_when_the_judge_is_made(tmp_path: Path) -> None:
    file = tmp_path / "rubric.yaml"
    file.write_text("dimensions:\n- {name: brevity, description: Few words., weigth: 2}\n")
    with pytest.raises(ConfigError, match="weigth"):
        judge_with(competent, rubric=str(file))
    file.write_text("name: short\ndimensions:\n- {name: brevity, description: Few words., weight: 2}\n")
    listener = Listener(competent)
    compare(judge_with(listener, rubric=str(file)), "a", "b")
    assert "- brevity (weight 2; look at the final answer): Few words." in listener.heard[0][0][0].content


@pytest.mark.parametrize(("name", "process"), [("travel", 0.6), ("deep_research", 0.5)])
def test_shipped_rubrics_weigh_process_and_answer_as_published(name: str, process: float) -> None:
    dimensions = load_rubric(name).dimensions
    by_level = [dimension.weight for dimension in dimensions if dimension.level == "process"]
    assert (len(by_level), len(dimensions)) == (3, 7)
    assert sum(by_level) == pytest.approx(process)


def test_every_shipped_rubric_weighs_one_and_a_wrong_name_tells_the_right_ones() -> None:
    names = [file.stem for file in SHIPPED.glob("*.yaml")]
    assert {"travel", "deep_research", "brief_answers", "full_answers"} <= set(names)
    for name in names:
        assert sum(dimension.weight for dimension in load_rubric(name).dimensions) == pytest.approx(1.0)
    with pytest.raises(ConfigError, match=r"one of brief_answers, .*travel"):
        load_rubric("travels")


def test_the_schema_asks_for_every_contestant_and_dimension() -> None:
    schema = ballot_schema(["A", "B"], RUBRIC)
    assert schema["required"] == ["weighing", "ballot", "reason", "scores"]
    scores = schema["properties"]["scores"]
    assert (scores["required"], scores["additionalProperties"]) == (["A", "B"], False)
    assert list(scores["properties"]["B"]["properties"]) == ["route", "taste"]


def test_the_recorded_request_is_the_key_of_the_cached_answer(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path, "judge", VerbConfig())
    model = CachedModel(ScriptedModel("scripted/test", competent), store.cache)
    judge = LLMJudge(model, LLMJudgeConfig(model=ModelConfig(name="scripted/test")), seed=5)
    verdict = compare(judge, GOOD, "no")
    assert isinstance(verdict, Verdict)
    key = f"{verdict.request}-{digest(['scripted/test', None])[:32]}"
    kept = store.cache.get(key)
    assert kept is not None
    assert verdict.rationale in json.loads(kept)["text"]
    store.close()


def test_a_users_own_template_replaces_the_system_message(tmp_path: Path) -> None:
    file = tmp_path / "strict.j2"
    file.write_text("Be strict with {{ labels | join(' and ') }} in {{ rubric.name }}.")
    listener = Listener(competent)
    compare(judge_with(listener, system_prompt=file), "a", "b")
    assert listener.heard[0][0][0].content == "Be strict with A and B in overall quality."


@given(st.lists(st.integers(0, 1000)), st.integers(0, 5000))
def test_shares_are_fair(wanted: list[int], total: int) -> None:
    shares = fair_shares(wanted, total)
    assert all(0 <= share <= need for share, need in zip(shares, wanted, strict=True))
    assert sum(shares) <= total
    cut = [share for share, need in zip(shares, wanted, strict=True) if share < need]
    if cut:
        assert total - sum(shares) < len(wanted)
        assert max(shares) <= min(cut) + 1


@given(st.text(alphabet="ab\n", max_size=300), st.integers(0, 100))
def test_a_clipped_text_keeps_its_ends(text: str, limit: int) -> None:
    shown = clip(text, limit)
    if len(text) <= limit:
        assert shown == text
    else:
        head, _, tail = shown.partition(f"[… {len(text) - limit} characters left out …]")
        assert text.startswith(head.removesuffix("\n"))
        assert len(head) + len(tail) == limit + 2
