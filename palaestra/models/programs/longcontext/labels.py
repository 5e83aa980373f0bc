"""Lines that have a date, a user and a question: labelling each by what it asks for, and counting."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import product
from typing import NamedTuple

from palaestra.models.programs.longcontext.skill import Notes, Skill

_LINE = re.compile(r"^Date: (.+?) \|\| User: (\d+) \|\| Instance: (.+)$", re.MULTILINE)
_ASKED = re.compile(r"\b(?:which|what is the|what|name the) (.*)", re.IGNORECASE)
_WORDS = {
    "abbreviation": "abbreviation acronym initialism shorthand contraction",
    "description and abstract concept": "reason meaning origin purpose cause explanation definition effect",
    "entity": "instrument animal fruit vehicle fabric dish tool language flower currency",
    "human being": "painter senator pilot composer chemist admiral novelist dancer surgeon explorer",
    "location": "river city island mountain harbour village desert province lake valley",
    "numeric value": "distance weight year temperature population speed height price age percentage",
}
_KINDS = {word: kind for kind, words in _WORDS.items() for word in words.split()}


class Line(NamedTuple):
    written: str
    """Its date, as it stands there."""
    user: str
    label: str

    @property
    def day(self) -> datetime:
        return _day(self.written)


def label_of(text: str) -> str:
    """What a question asks for: the first noun after the word that asks. Empty when it is not understood."""
    asked = _ASKED.search(text)
    words = re.findall(r"\w+", asked[1]) if asked else []
    return next((_KINDS[word] for word in words if word in _KINDS), "")


def _lines(text: str) -> Iterator[Line]:
    return (Line(written, user, label_of(asked)) for written, user, asked in _LINE.findall(text))


@functools.cache
def _day(written: str) -> datetime:
    return datetime.strptime(written, "%b %d, %Y")


def note_lines(question: str, text: str) -> Iterator[tuple[str, int]]:
    """What the question counts: labels, users, dates, or labels by time."""
    name = _what_counts(question.split("Give your final")[0])
    for line in _lines(text):
        if noted := name(line):
            yield noted, 1


def _what_counts(asked: str) -> Callable[[Line], str]:
    """Under which name a line is counted; empty when it is not."""
    labels = set(re.findall(r"'([a-z ]+)'", asked)) or set(_WORDS)
    users = set(re.findall(r"\d{5}", asked))
    months = [datetime.strptime(each, "%b %Y") for each in re.findall(r"[A-Z][a-z]{2} \d{4}(?=,| to)", asked)]
    if "date" in asked:
        return lambda line: line.written
    if "which user" in asked:
        return lambda line: line.user if line.label in labels and (not users or line.user in users) else ""
    if "first month" in asked:
        return lambda line: f"{line.day:%Y-%m} {line.label}" if line.label in labels else ""
    if found := re.search(r"before ([A-Z][a-z]{2} \d\d, \d{4})", asked):
        limit = _day(found[1])
        parts = "from then on", "before"
        return lambda line: parts[line.day < limit] if line.label in labels else ""
    if months:
        return lambda line: line.label if months[0] <= line.day.replace(day=1) <= months[1] else ""
    return lambda line: line.label if line.label in labels and (not users or line.user in users) else ""


def count_lines(question: str, notes: Notes) -> str:
    asked = question.split("Give your final")[0]
    counts = Counter(notes)
    labels = re.findall(r"'([a-z ]+)'", asked)
    ranked = [noted for noted, _ in counts.most_common()] or ["none"]
    if times := re.search(r"exactly (\d+) line", asked):
        return f"Answer: {sum(count == int(times[1]) for count in counts.values())}"
    if "how many" in asked:
        return f"Answer: {counts[labels[0]]}"
    if "same frequency" in asked:
        first, second = labels if len(labels) == 2 else ("before", "from then on")
        difference = counts[first] - counts[second]
        word = (
            "more common than"
            if difference > 0
            else "less common than"
            if difference
            else "same frequency as"
        )
        return f"Answer: {first} is {word} {second}"
    if "first month" in asked:
        months = sorted({noted[:7] for noted in counts})
        more = [each for each in months if counts[f"{each} {labels[0]}"] > counts[f"{each} {labels[1]}"]]
        return f"Answer: {datetime.strptime(more[0], '%Y-%m'):%b %Y}" if more else "Answer: none"
    word = "Date" if "which date" in asked else "User" if "which user" in asked else "Label"
    return f"{word}: {ranked[-1] if 'least common' in asked else ranked[0]}"


def note_profiles(question: str, text: str) -> Iterator[tuple[str, int]]:
    """How many lines of each label a user has, and how many break a rule about dates."""
    rule = re.search(r"all lines that are a ([a-z ]+?) must be (after|before) (\w{3} \d\d, \d{4})", question)
    for line in _lines(text):
        yield f"{line.user} {line.label}", 1
        if rule and line.label == rule[1]:
            limit = _day(rule[3])
            if not (line.day > limit if rule[2] == "after" else line.day < limit):
                yield f"{line.user} too early or late", 1


def pair_up(question: str, notes: Notes) -> str:
    """All pairs that follow the rules, as far as an answer of sensible length goes."""
    most = 20_000
    rules = question.partition("such that ")[2]
    users = sorted({int(noted.split()[0]) for noted in notes})

    def follows(user: int, rule: str) -> bool:
        if f"{user} too early or late" in notes:
            return False
        for how, times, labels in re.findall(
            r"(exactly|at least) (\d+) lines? with ((?:(?! and exactly| and at least|, and|\.).)+)", rule
        ):
            counts = [notes.get(f"{user} {label}", 0) for label in labels.split(" or ")]
            if how == "exactly" and counts[0] != int(times):
                return False
            if how == "at least" and max(counts) < int(times):
                return False
        return True

    one, _, other = rules.partition("the other user has")
    ones = [user for user in users if follows(user, one)]
    others = [user for user in users if follows(user, other)] if other else ones
    pairs: set[tuple[int, int]] = set()
    for first, second in product(ones, others):
        if first != second:
            pairs.add((min(first, second), max(first, second)))
        if len(pairs) == most:
            break
    return "\n".join(f"({first}, {second})" for first, second in sorted(pairs)) or "none"


COUNTS = Skill("^In the data above, (?!each line has)", note_lines, count_lines, begins="^Date: ")
PAIRS = Skill("^In the data above, each line has", note_profiles, pair_up, begins="^Date: ")
