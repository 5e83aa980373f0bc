"""Earlier conversations: finding what the user said, when, and what they said last."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from palaestra.models.programs.longcontext.skill import Notes, Skill

_SESSION = re.compile(r"^=== (\S+) \S+ ===\n(.*?)(?=^=== |\Z)", re.MULTILINE | re.DOTALL)


def what_to_find(question: str) -> str:
    """A pattern of what somebody who answers the question would look for; its first group is the value."""
    begun = {
        "Which city do I live in": r"I have moved to (\w+)",
        "Which colour does my car have": r"I have bought a car of the colour (\w+)",
        "Which instrument am I learning": r"I have started to learn the (\w+)",
        "What is my dog called": r"I have got a new dog, which is called (\w+)",
        "What do I work as": r"I have switched to a job as a (\w+)",
    }
    for start, pattern in begun.items():
        if start in question:
            return pattern
    if asked := re.search(r"Which brand did you recommend for my (\w+)", question):
        return rf"For your {asked[1]} I recommend the brand ([\w-]+)"
    if asked := re.search(r"How many times did I say that (.+)\?", question):
        return rf"({asked[1]})"
    events = re.findall(r"the day (I .+?)(?: and |\?)", question)
    return rf"Today ({'|'.join(events)})"


def note_statements(question: str, text: str) -> Iterator[tuple[str, int]]:
    wanted = re.compile(what_to_find(question))
    for day, session in _SESSION.findall(text):
        for value in wanted.findall(session):
            yield (value if "How many times" in question else f"{day} {value}"), 1


def recall(question: str, notes: Notes) -> str:
    if "How many times" in question:
        return str(sum(notes.values()))
    if not notes:
        return "You have not mentioned it, so I do not know."
    if "How many days" in question:
        days = [datetime.strptime(noted.split()[0], "%Y-%m-%d") for noted in notes]
        return str((max(days) - min(days)).days)
    return max(notes).split(maxsplit=1)[1]


CONVERSATIONS = Skill(
    r"^Today is \d{4}-\d\d-\d\d\.", note_statements, recall, begins=r"^=== \d{4}-", hint=what_to_find
)
