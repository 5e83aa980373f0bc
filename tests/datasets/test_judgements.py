"""Recorded judgements in their published forms, read into one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from palaestra.core.config import VerbConfig
from palaestra.core.errors import DataError
from palaestra.core.events import JudgementGiven, TaskLoaded, TrajectoryFinished
from palaestra.core.record import digest
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.usage import Usage
from palaestra.core.verdict import NoVerdict, Verdict
from palaestra.datasets.judgements.group import JudgedGroup
from palaestra.datasets.judgements.importer import load_judgements, write_judgements
from palaestra.datasets.judgements.run import judgements_of
from palaestra.store.run_store import RunStore

Rows = Iterable[dict[str, Any]]


def jsonl(file: Path, rows: Rows) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(map(json.dumps, rows)))
    return file


def talk(*texts: str) -> list[dict[str, str]]:
    roles = ("user", "assistant") * len(texts)
    return [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]


def votes(group: JudgedGroup) -> list[tuple[object, ...]]:
    return [(vote.a, vote.b, vote.winner, vote.judge, vote.source, vote.first_shown) for vote in group.votes]


def test_mt_bench_votes_on_one_question_come_together_turn_by_turn(tmp_path: Path) -> None:
    def row(a: str, b: str, winner: str, judge: object, turn: int) -> dict[str, Any]:
        conversations = {
            f"conversation_{s}": talk("Q1", f"{m}1", "Q2", f"{m}2") for s, m in (("a", a), ("b", b))
        }
        return {"question_id": 81, "model_a": a, "model_b": b, "winner": winner, "judge": judge,
                "turn": turn, **conversations}  # fmt: skip

    rows = [
        row("alpaca", "gpt-4", "model_b", "expert_0", 1),
        row("gpt-4", "vicuna", "tie", "author_2", 1),
        row("gpt-4", "vicuna", "tie (inconsistent)", "gpt4_pair", 2),
        row("alpaca", "gpt-4", "error", "gpt4_pair", 1),
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "human.parquet")
    first, second = load_judgements(tmp_path / "human.parquet")
    assert (first.group, first.prompt) == ("81", "Q1")
    assert first.candidates == {"alpaca": "alpaca1", "gpt-4": "gpt-41", "vicuna": "vicuna1"}
    assert votes(first) == [
        ("alpaca", "gpt-4", "b", "expert_0", "human", None),
        ("gpt-4", "vicuna", "tie", "author_2", "human", None),
        ("alpaca", "gpt-4", None, "gpt4_pair", "model", None),
    ]
    assert (second.group, second.prompt) == ("81-turn-2", "[turn 1]\nQ1\n\n[turn 2]\nQ2")
    assert second.candidates["vicuna"] == "[turn 1]\nvicuna1\n\n[turn 2]\nvicuna2"
    assert first.task == Task(id="81", prompt="Q1")
    assert first.contestant("gpt-4").id == "gpt-4/81"
    assert first.contestant("gpt-4").agent == "gpt-4"


def test_a_chatbot_arena_battle_may_be_of_one_model_with_itself(tmp_path: Path) -> None:
    row = {"question_id": "f1", "model_a": "m", "model_b": "m", "winner": "tie (bothbad)", "turn": 1,
           "judge": "arena_user_9", "conversation_a": talk("Q", "x"), "conversation_b": talk("Q", "y"),
           "anony": True, "language": "English", "tstamp": 1.5}  # fmt: skip
    [group] = load_judgements(jsonl(tmp_path / "arena.jsonl", [row]))
    assert group.candidates == {"m": "x", "m (b)": "y"}
    assert votes(group) == [("m", "m (b)", "tie", "arena_user_9", "human", None)]


def test_judge_bench_outputs_turn_the_second_judgement_back(tmp_path: Path) -> None:
    def judgment(decision: str | None) -> dict[str, Any]:
        return {"judgment": {"judge_model": "o1-mini", "response": ""}, "decision": decision}

    pair: dict[str, Any] = {"pair_id": "p", "original_id": 1, "source": "law", "question": "Q",
                            "response_A": "x", "response_B": "y", "label": "A>B"}  # fmt: skip
    rows: list[dict[str, Any]] = [
        pair | {"judge_name": "arena_hard", "judgments": [judgment("A>B"), judgment("B>A")]},
        pair
        | {"pair_id": "q", "label": "B>A", "judge_name": "arena_hard", "judgments": [judgment(None), None]},
    ]
    agreed, failed = load_judgements(jsonl(tmp_path / "outputs.jsonl", rows))
    assert votes(agreed) == [
        ("A", "B", "a", "label", "label", None),
        ("A", "B", "a", "o1-mini", "model", "a"),
        ("A", "B", "a", "o1-mini", "model", "b"),
    ]
    assert votes(failed)[0] == ("A", "B", "b", "label", "label", None)
    assert [vote.winner for vote in failed.votes[1:]] == [None, None]
    [plain] = load_judgements(jsonl(tmp_path / "data.jsonl", [pair]))
    assert len(plain.votes) == 1


def test_reward_bench_sets_every_good_answer_above_every_bad_one(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"id": "7", "prompt": "Q", "chosen": ["g"], "rejected": ["b1", "b2", "b3"], "subset": "Math"},
        {"id": "8", "prompt": "Colour?", "chosen": ["red", "blue"], "rejected": ["seven"], "subset": "Ties"},
        {"id": 9, "prompt": "Old", "chosen": "yes", "rejected": "no", "subset": "alpacaeval-easy"},
    ]
    best, ties, old = load_judgements(jsonl(tmp_path / "rb2.jsonl", rows))
    assert [(vote.a, vote.b, vote.winner) for vote in best.votes] == [
        ("chosen-1", f"rejected-{n}", "a") for n in (1, 2, 3)
    ]
    assert [(vote.a, vote.b, vote.winner) for vote in ties.votes] == [
        ("chosen-1", "rejected-1", "a"),
        ("chosen-2", "rejected-1", "a"),
        ("chosen-1", "chosen-2", "tie"),
    ]
    assert old.candidates == {"chosen-1": "yes", "rejected-1": "no"}


def test_alpaca_eval_preferences_are_scores_by_degree(tmp_path: Path) -> None:
    def row(instruction: str, preference: float | None) -> dict[str, Any]:
        return {"instruction": instruction, "output_1": "x", "generator_1": "reference", "output_2": "y",
                "generator_2": "mine", "annotator": "gpt4", "preference": preference}  # fmt: skip

    file = tmp_path / "annotations.json"
    file.write_text(json.dumps([row("a", 1), row("b", 2), row("c", 1.5), row("d", 1.9), row("e", None)]))
    groups = load_judgements(file)
    assert [group.votes[0].winner for group in groups] == ["a", "b", "tie", "b", None]
    assert groups[3].votes[0].scores == pytest.approx((1, 9))
    assert groups[0].group == digest("a")[:12]
    (tmp_path / "third.json").write_text(
        json.dumps([{"instruction": "a", "output": "z", "generator": "third", "dataset": "koala"}])
    )
    merged = {group.prompt: group for group in load_judgements(tmp_path)}
    assert merged["a"].candidates == {"reference": "x", "mine": "y", "third": "z"}


@pytest.mark.parametrize("version", ["0.1", "2"])
def test_arena_hard_is_put_together_from_its_files(tmp_path: Path, version: str) -> None:
    if version == "0.1":
        question: dict[str, Any] = {"question_id": "q", "turns": [{"content": "Q"}], "category": "hard"}

        def said(model: str, text: str) -> dict[str, Any]:
            choices = [{"index": 0, "turns": [{"content": text}]}]
            return {"question_id": "q", "answer_id": "z", "model_id": model, "choices": choices}

        identity: dict[str, Any] = {"question_id": "q"}
        base = "gpt-4-0314"
    else:
        question = {"uid": "q", "prompt": "Q", "category": "hard_prompt"}

        def said(model: str, text: str) -> dict[str, Any]:
            messages = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": {"answer": text}}]
            return {"uid": "q", "model": model, "messages": messages}

        identity, base = {"uid": "q", "baseline": "o3-mini"}, "o3-mini"
    jsonl(tmp_path / "question.jsonl", [question])
    for model in (base, "mine"):
        jsonl(tmp_path / f"model_answer/{model}.jsonl", [said(model, f"by {model}")])
    games = [{"score": "A>>B", "judgment": "…"}, {"score": "A>B"}, {"score": None}]
    judged = jsonl(
        tmp_path / "model_judgment/gpt-4/mine.jsonl",
        [identity | {"model": "mine", "judge": "gpt-4", "games": games}],
    )
    [group] = load_judgements(tmp_path)
    assert (group.prompt, group.candidates) == ("Q", {base: f"by {base}", "mine": "by mine"})
    assert votes(group) == [
        (base, "mine", "a", "gpt-4", "model", "a"),
        (base, "mine", "b", "gpt-4", "model", "b"),
        (base, "mine", None, "gpt-4", "model", "a"),
    ]
    assert [vote.scores for vote in group.votes] == [(10, 0), (2.5, 7.5), None]
    with pytest.raises(DataError, match=r"has no answer of .*add its file"):
        load_judgements(judged)


def test_labelled_pairs_of_ones_own_and_unknown_rows(tmp_path: Path) -> None:
    row = {"prompt": "Q", "answer_a": "x", "answer_b": "y", "winner": "tie"}
    [group] = load_judgements(jsonl(tmp_path / "own.jsonl", [row]))
    assert votes(group) == [("a", "b", "tie", "human", "human", None)]
    with pytest.raises(DataError, match=r"bad\.jsonl line 2: winner: Input should be 'a', 'b' or 'tie'"):
        load_judgements(jsonl(tmp_path / "bad.jsonl", [row, row | {"winner": "A"}]))
    with pytest.raises(DataError, match=r"line 1 has the columns text, which are those of no known form"):
        load_judgements(jsonl(tmp_path / "strange.jsonl", [{"text": "?"}]))
    with pytest.raises(DataError, match="cannot read"):
        load_judgements(tmp_path / "none.jsonl")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no judgements"):
        load_judgements(tmp_path / "empty")


def test_a_runs_judgements_are_written_and_read_back(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path / "runs", "judge", VerbConfig())
    store.write(TaskLoaded(task=Task(id="t", prompt="Q", reference="R")))
    for name in ("x", "y"):
        trajectory = Trajectory(
            id=f"{name}/t", task_id="t", agent=name, status="finished", answer=name.upper()
        )
        store.write(TrajectoryFinished(group="t", trajectory=trajectory))
    usage = Usage(calls=1, tokens_in=5, tokens_out=2)
    for order, judgement in (
        (("x/t", "y/t"), Verdict.from_scores(3, 8, usage=usage)),
        (("y/t", "x/t"), NoVerdict(reason="nonsense", usage=usage)),
    ):
        store.write(
            JudgementGiven(
                group="t", stage="r", first=order[0], second=order[1], judge="j", judgement=judgement
            )
        )
    file = tmp_path / "judgements.jsonl"
    assert write_judgements(judgements_of(store), file) == 1
    [group] = load_judgements(file)
    store.close()
    assert (group.prompt, group.reference, group.candidates) == ("Q", "R", {"x": "X", "y": "Y"})
    assert votes(group) == [("x", "y", "b", "j", "model", "a"), ("y", "x", None, "j", "model", "a")]
    assert [(vote.scores, vote.tokens) for vote in group.votes] == [((3, 8), 7), (None, 7)]
