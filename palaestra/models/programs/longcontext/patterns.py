"""Needles, assignments, word counts and repeated requests: what a few patterns find."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from palaestra.models.programs.longcontext.skill import Notes, Skill


def note_needles(question: str, text: str) -> Iterator[tuple[str, int]]:
    asked = re.search(r"special magic \w+ for (.+) mentioned in the text", question)
    keys = set(re.split(r", and |, ", asked[1])) if asked else set()
    for key, value in re.findall(r"special magic \w+ for (\S+) is: (\S+)\.", text):
        if key in keys:
            yield value, 1


def list_values(question: str, notes: Notes) -> str:
    return ", ".join(notes)


def note_assignments(question: str, text: str) -> Iterator[tuple[str, int]]:
    for name, source in re.findall(r"VAR (\w+) = (?:VAR )?(\w+)", text):
        yield f"{name} = {source}", 1


def follow_assignments(question: str, notes: Notes) -> str:
    sources = dict(note.split(" = ") for note in notes)
    value = re.findall(r"value (\d+)", question)[0]

    def has_value(name: str) -> bool:
        return sources.get(name) == value or (name in sources and has_value(sources[name]))

    return ", ".join(name for name in sources if has_value(name))


def note_listed_words(question: str, text: str) -> Iterator[tuple[str, int]]:
    for word in re.findall(r"[a-z]+", text):
        yield word, 1


def most_common(question: str, notes: Notes) -> str:
    asked = 3 if "three" in question else 10
    return ", ".join(word for word, _ in Counter(notes).most_common(asked))


def note_replies(question: str, text: str) -> Iterator[tuple[str, int]]:
    asked = re.search(r"\(1 indexed\) (\S+) about (.+?)\. Do not", question)
    if asked is None:
        return
    request = f"User: write a {asked[1]} about {asked[2]}\n\nAssistant: "
    for reply in text.split(request)[1:]:
        yield reply.partition("\n\nUser: ")[0].strip(), 1


def repeat_reply(question: str, notes: Notes) -> str:
    asked = re.search(r"Prepend (\w+) to the (\d+)", question)
    replies = list(notes)
    if asked is None or len(replies) < int(asked[2]):
        return "I did not find that many."
    return asked[1] + replies[int(asked[2]) - 1]


NEEDLES = Skill("special magic", note_needles, list_values, begins="^", is_code=True)
ASSIGNMENTS = Skill("assigned the value", note_assignments, follow_assignments, begins="^", is_code=True)
COMMON_WORDS = Skill(
    "most common words in the list|most frequently appeared words",
    note_listed_words,
    most_common,
    begins="(?<= )",
    is_code=True,
)
REPLIES = Skill(r"^Prepend .*\(1 indexed\)", note_replies, repeat_reply, begins="^User: write", is_code=True)
