"""Files of published benchmarks, in their own fields."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from palaestra.core.errors import DataError
from palaestra.core.task import Task
from palaestra.datasets.loaders import load_tasks
from palaestra.datasets.longcontext.published import Benchmark
from palaestra.datasets.longcontext.published_scores import chosen
from palaestra.datasets.scores import score_of
from palaestra.datasets.source import DataSource

LINE = "Date: Feb 02, 2023 || User: 76153 || Instance: Call now"


def load(folder: Path, benchmark: Benchmark, *rows: Mapping[str, Any]) -> list[Task]:
    file = folder / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    return load_tasks(DataSource(path=str(file), benchmark=benchmark))


def test_oolong(tmp_path: Path) -> None:
    row = {
        "id": 13000009,
        "context_len": 1024,
        "dataset": "spam",
        "context_window_text": LINE,
        "context_window_text_with_labels": f"{LINE} || Label: spam",
        "question": "Which label is the most common? Give your final answer in the form 'Label: answer'.",
        "task_group": "counting",
        "task": "TASK_TYPE.MOST_FREQ",
        "answer": "['spam']",
        "answer_type": "ANSWER_TYPE.LABEL",
        "context_window_id": 0,
    }
    dated = {**row, "id": 2, "answer": "[datetime.date(2023, 2, 2)]", "answer_type": "ANSWER_TYPE.DATE"}
    number = {**row, "id": 3, "answer": "[12]", "answer_type": "ANSWER_TYPE.NUMERIC"}
    task, with_date, with_number = load(tmp_path, "oolong", row, dated, number)
    assert "Label: spam" not in str(task.context)
    assert score_of(task, "Label: spam") == 1.0
    assert score_of(with_date, "Date: Feb 02, 2023") == 1.0
    assert score_of(with_number, "Answer: 14") == 0.5625


def test_mrcr(tmp_path: Path) -> None:
    messages = [
        {"role": "user", "content": "write a poem about tapirs"},
        {"role": "assistant", "content": "O tapir"},
        {"role": "user", "content": "Prepend aYooSG8CQg to the 1st (1 indexed) poem about tapirs."},
    ]
    row = {
        "prompt": json.dumps(messages),
        "answer": "aYooSG8CQgO tapir",
        "random_string_to_prepend": "aYooSG8CQg",
        "n_needles": 2,
        "desired_msg_index": 1,
        "total_messages": 3,
        "n_chars": 90,
        "date_added": "04-12-2025",
    }
    (task,) = load(tmp_path, "mrcr", row)
    assert task.prompt == messages[-1]["content"]
    assert task.context == "User: write a poem about tapirs\n\nAssistant: O tapir\n\n"
    assert score_of(task, "aYooSG8CQgO tapir") == 1.0
    assert score_of(task, "O tapir") == 0.0


def test_longmemeval(tmp_path: Path) -> None:
    row = {
        "question_id": "gpt4_1",
        "question_type": "knowledge-update",
        "question": "Where do I live?",
        "answer": "Graz",
        "question_date": "2023/05/30 (Tue) 23:40",
        "haystack_session_ids": ["s2", "s1"],
        "haystack_dates": ["2023/05/21 (Sun) 02:21", "2023/05/20 (Sat) 14:21"],
        "haystack_sessions": [
            [{"role": "user", "content": "I live in Graz now", "has_answer": True}],
            [{"role": "user", "content": "I live in Turin", "has_answer": True}],
        ],
        "answer_session_ids": ["s1", "s2"],
    }
    task, absent = load(tmp_path, "longmemeval", row, {**row, "question_id": "gpt4_2_abs", "answer": "No."})
    text = str(task.context)
    assert text.index("Turin") < text.index("Graz"), "sessions are in the order of their dates"
    assert "has_answer" not in text
    assert "2023/05/30" in task.prompt
    assert score_of(task, "In Graz") == 1.0
    assert score_of(absent, "You have not told me.") == 1.0
    assert score_of(absent, "Graz") == 0.0


def test_longbench_v2(tmp_path: Path) -> None:
    row = {
        "_id": "66f36490821e116aacb2cc22",
        "domain": "Code Repository Understanding",
        "sub_domain": "Code repo QA",
        "difficulty": "easy",
        "length": "long",
        "question": "Which function parses dates?",
        **{f"choice_{letter}": f"function_{letter}" for letter in "ABCD"},
        "answer": "C",
        "context": "def function_C(): ...",
    }
    (task,) = load(tmp_path, "longbench-v2", row)
    assert "(C) function_C" in task.prompt
    assert score_of(task, "The correct answer is (C)") == 1.0
    assert score_of(task, "The correct answer is (A)") == score_of(task, "C") == 0.0
    assert chosen("*The correct answer is D*") == "D"


def test_browsecomp_plus(tmp_path: Path) -> None:
    def document(name: str) -> dict[str, str]:
        return {"docid": name, "text": f"text of {name}", "url": "http://example.org"}

    row = {
        "query_id": "7",
        "query": "Who?",
        "answer": "Ada Lovelace",
        "gold_docs": [document("9")],
        "evidence_docs": [document("9"), document("5")],
        "negative_docs": [document("1")],
    }
    (task,) = load(tmp_path, "browsecomp-plus", row)
    assert task.context == {"1": "text of 1", "5": "text of 5", "9": "text of 9"}
    assert score_of(task, "It was Ada  Lovelace, I think") == 1.0
    assert score_of(task, "Ada") == 0.0


def test_a_row_of_another_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"rows.jsonl line 1 is no row of mrcr: KeyError\('prompt'\)"):
        load(tmp_path, "mrcr", {"question": "Who?"})


def test_a_task_that_only_bears_the_name_of_a_family_has_no_score() -> None:
    assert score_of(Task(id="t", prompt="?", family="mrcr"), "x") is None
    assert score_of(Task(id="t", prompt="?", metadata={"a": 1}), "x") is None
