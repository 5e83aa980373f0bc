"""What a reader can do about one kind of question."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

Notes = Mapping[str, int]
"""What was noted, and how often or how much of it, in the order in which it was found."""


class Skill(NamedTuple):
    """Reading piece by piece: what is noted of the pieces adds up, and the answer follows from the sum.

    The functions can be written into a model's own code as they are: they need `re`, `Counter`, `datetime`
    and `product`, and nothing else of their modules.
    """

    asked_by: str
    """Pattern of the questions."""
    note: Callable[[str, str], Iterator[tuple[str, int]]]
    """What a piece of the text says about the question."""
    conclude: Callable[[str, Notes], str]
    """The answer to the question."""
    begins: str
    """Pattern of the places where the text can be cut: what is between two of them is read whole."""
    is_code: bool = False
    """Whether `note` is a matter of patterns, for code, or takes a reader."""
    hint: Callable[[str], str] | None = None
    """A pattern that is in all parts that have to do with the question."""


def take_notes(skill: Skill, question: str, text: str) -> Counter[str]:
    notes = Counter[str]()
    for noted, amount in skill.note(question, text):
        notes[noted] += amount
    return notes


def last_cut(skill: Skill, text: str) -> int:
    """Where the last part of the text begins, which may go on in the next piece."""
    return max((place.start() for place in re.finditer(skill.begins, text, re.MULTILINE)), default=0)


def write_notes(notes: Notes) -> str:
    return "\n".join(f"{amount} | {noted.replace(chr(10), '⏎')}" for noted, amount in notes.items())


def read_notes(text: str) -> Counter[str]:
    notes: Counter[str] = Counter()
    for line in text.splitlines():
        amount, bar, noted = line.partition(" | ")
        if bar and amount.strip().lstrip("-").isdigit():
            notes[noted.replace("⏎", "\n")] += int(amount)
    return notes
