"""Rows of published long-context benchmarks as tasks, by the field names of their own files.

What a file says about the answer beside the answer goes into the metadata, where no model sees it.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, Literal

from palaestra.core.task import Task
from palaestra.datasets.longcontext.window import DATE

Benchmark = Literal["oolong", "mrcr", "longmemeval", "longbench-v2", "browsecomp-plus"]
Row = Mapping[str, Any]


def oolong(row: Row) -> Task:
    """oolongbench/oolong-synth: the window without labels."""
    return Task(
        id=str(row["id"]),
        family="oolong",
        prompt=row["question"],
        context=row["context_window_text"],
        reference=_oolong_answer(row["answer"]),
        metadata={"kind": row["answer_type"], "tokens": row.get("context_len")},
    )


def mrcr(row: Row) -> Task:
    """openai/mrcr: the last message is the request, those before it are the context. Its files have no ids;
    those of December 2025 correct about 5 % of the answers."""
    *earlier, request = json.loads(row["prompt"]) if isinstance(row["prompt"], str) else row["prompt"]
    chat = "".join(f"{message['role'].title()}: {message['content']}\n\n" for message in earlier)
    prefix = row["random_string_to_prepend"]
    metadata = {"prefix": prefix, "needles": row.get("n_needles"), "date_added": row.get("date_added")}
    return Task(
        id=f"mrcr-{prefix}",
        family="mrcr",
        prompt=request["content"],
        context=chat,
        reference=row["answer"],
        metadata=metadata,
    )


def longmemeval(row: Row) -> Task:
    """xiaowu0162/longmemeval: sessions by date, without the marks of those that hold the answer."""
    name = row["question_id"]
    dated = zip(row["haystack_dates"], row["haystack_sessions"], strict=True)
    sessions = sorted(dated, key=lambda pair: _session_date(pair[0]))
    kind = "abstention" if name.endswith("_abs") else row["question_type"]
    return Task(
        id=name,
        family="longmemeval",
        prompt=f"Today is {row['question_date']}. {row['question']}",
        context="\n".join(_session(when, turns) for when, turns in sessions),
        reference=str(row["answer"]),
        metadata={"kind": kind},
    )


def longbench_v2(row: Row) -> Task:
    """THUDM/LongBench-v2."""
    choices = "\n".join(f"({letter}) {row[f'choice_{letter}']}" for letter in "ABCD")
    return Task(
        id=row["_id"],
        family="longbench-v2",
        prompt=f"{row['question'].strip()}\n\n{choices}",
        answer_format='Give your answer in the form "The correct answer is (letter)".',
        context=row["context"],
        reference=row["answer"],
        metadata={"domain": row["domain"], "difficulty": row.get("difficulty"), "length": row.get("length")},
    )


def browsecomp_plus(row: Row) -> Task:
    """The decrypted file of Tevatron/browsecomp-plus: each query with its own documents, by id, so that the
    order says nothing about them."""
    documents = {
        str(document["docid"]): document["text"]
        for group in ("gold_docs", "evidence_docs", "negative_docs")
        for document in row.get(group) or ()
    }
    return Task(
        id=str(row["query_id"]),
        family="browsecomp-plus",
        prompt=row["query"],
        context=dict(sorted(documents.items())),
        reference=row["answer"],
        metadata={"gold": [str(document["docid"]) for document in row.get("gold_docs") or ()]},
    )


READERS: Mapping[Benchmark, Callable[[Row], Task]] = {
    "oolong": oolong,
    "mrcr": mrcr,
    "longmemeval": longmemeval,
    "longbench-v2": longbench_v2,
    "browsecomp-plus": browsecomp_plus,
}


def _oolong_answer(written: str) -> str:
    """The file has the text of a Python list of one element: `['ham']`, `[datetime.date(2023, 2, 1)]`."""
    if day := re.fullmatch(r"\[datetime\.date\((\d+), (\d+), (\d+)\)\]", written):
        return f"{date(int(day[1]), int(day[2]), int(day[3])):{DATE}}"
    if not re.fullmatch(r"\[.*\]", written, re.DOTALL):
        return written
    return str(ast.literal_eval(written)[0])


def _session_date(written: str) -> datetime:
    """`2023/05/20 (Sat) 02:21`."""
    return datetime.strptime(re.sub(r" \(\w+\)", "", written), "%Y/%m/%d %H:%M")


def _session(when: str, turns: list[Row]) -> str:
    said = "".join(f"{turn['role'].title()}: {turn['content']}\n" for turn in turns)
    return f"=== {when} ===\n{said}"
