"""Dialogue memory: kinds of questions, what misleads, and the judging rules."""

import re
from datetime import date
from pathlib import Path

import pytest

from palaestra.core.task import ContextFile
from palaestra.datasets.longcontext.dialogue_memory import DIALOGUE_MEMORY, score
from palaestra.datasets.shelf import Shelf


@pytest.mark.parametrize(
    ("kind", "gold", "answer", "expected"),
    [
        ("single-session-user", "Graz", "You live in Graz.", 1.0),
        ("single-session-user", "Graz", "You live in Grazia.", 0.0),
        ("knowledge-update", "Graz", "First Turin, now Graz", 1.0),
        ("knowledge-update", "Graz", "Turin", 0.0),
        ("multi-session", "3", "3 times", 1.0),
        ("multi-session", "3", "13 times", 0.0),
        ("temporal-reasoning", "12", "12 days", 1.0),
        ("temporal-reasoning", "12 days. 13 days (including the last day) is also acceptable.", "11", 1.0),
        ("temporal-reasoning", "12", "14 days", 0.0),
        ("abstention", "You have not mentioned it.", "You never mentioned a car.", 1.0),
        ("abstention", "You have not mentioned it.", "I don't have that information.", 1.0),
        ("abstention", "You have not mentioned it.", "It is red.", 0.0),
    ],
)
def test_rules(kind: str, gold: str, answer: str, expected: float) -> None:
    assert score(kind, gold, answer) == expected


def test_every_kind_of_question_can_be_answered_from_the_sessions(tmp_path: Path) -> None:
    tasks = DIALOGUE_MEMORY.tasks(18, 8000, Shelf(tmp_path))
    assert len({task.metadata["kind"] for task in tasks}) == 6
    for task in tasks:
        assert isinstance(task.context, ContextFile)
        text = Path(task.context.path).read_text(encoding="utf-8")
        gold = task.reference or ""
        days = [date.fromisoformat(day) for day in re.findall(r"^=== (\S+) ", text, re.MULTILINE)]
        assert days == sorted(days)
        assert re.search(r"My \w+( teacher)? has (moved|bought|started|got|switched)", text), "others mislead"
        match task.metadata["kind"]:
            case "knowledge-update":
                values = re.findall(r"I have (?:moved|bought|started|got|switched)\b.*? (\w+)\.", text)
                assert len(values) == 3
                assert values[-1] == gold
            case "multi-session":
                deed = task.prompt.split("say that ")[1].rstrip("?")
                assert text.count(f"{deed}.") == int(gold)
            case "temporal-reasoning":
                told = re.findall(r"^=== (\S+) \S+ ===\n(?:(?!===)[\s\S])*?Today I ", text, re.MULTILINE)
                first, second = map(date.fromisoformat, told)
                assert (second - first).days == int(gold)
            case "abstention":
                assert "I have " not in re.sub("I have been thinking", "", text)
            case _:
                assert gold in text
