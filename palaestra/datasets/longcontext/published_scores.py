"""Scores of published benchmarks that are not generated here."""

from __future__ import annotations

import re

from palaestra.core.task import Task
from palaestra.datasets.longcontext.haystack import ANSWER_CHARACTERS


class LongBench:
    """Multiple choice of LongBench v2 (Bai et al., arXiv 2412.15204); its CodeQA are the tasks of the domain
    "Code Repository Understanding"."""

    name = "longbench-v2"

    def utility(self, task: Task, answer: str) -> float:
        return float(chosen(answer) == task.reference)


class BrowseComp:
    """BrowseComp-Plus (Chen et al., arXiv 2508.06600). The benchmark has a language model judge;
    containing the expected answer is a rule that refuses other wordings of it."""

    name = "browsecomp-plus"

    def utility(self, task: Task, answer: str) -> float:
        said, gold = (_normal(text) for text in (answer[:ANSWER_CHARACTERS], task.reference or ""))
        return float(f" {gold} " in f" {said} ")


def chosen(answer: str) -> str | None:
    """The letter of LongBench v2's phrase, with or without brackets; None when it is not there.

    >>> chosen("So **the correct answer is (C)**."), chosen("The correct answer is B"), chosen("C")
    ('C', 'B', None)
    """
    found = re.search(r"[Tt]he correct answer is \(?([A-D])\b", answer.replace("*", ""))
    return found[1] if found else None


def _normal(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


LONG_BENCH = LongBench()
BROWSE_COMP = BrowseComp()
