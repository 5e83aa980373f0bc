"""A window of OOLONG: dated lines of many users, whose labels are not shown.

Bertsch et al., "Oolong: Evaluating Long Context Reasoning and Aggregation Capabilities" (arXiv 2511.02817).
"""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta

from palaestra.core.task import ContextFile
from palaestra.datasets.longcontext.haystack import too_short
from palaestra.datasets.longcontext.instances import LABELS, ask
from palaestra.datasets.shelf import Shelf

FIRST_DAY = date(2021, 9, 1)
DAYS = 1218
"""Forty months."""
ITEMS_PER_USER = 3
FEW, SHARE_OF_FEW = 0.2, 0.8
"""So many of the users write so many of the items."""
FILLED = 0.95
"""Of the tokens of a window, of which `RESERVED` more are left for question and answer."""
RESERVED = 250
DATE = "%b %d, %Y"

INTRODUCTION = (
    "The following lines contain {count} general-knowledge questions, one per line. Each line has the date "
    "on which the question was asked and the id of the user who asked it. Each question asks for one kind "
    "of answer, and every one can be labelled with it: {labels}. The labels are not given. You will be asked "
    "for statistics over the labels of all lines.\n\n"
)
REMINDER = (
    "\nThese were all {count} lines. Label each question with the kind of answer that it asks for "
    "({labels}), and answer the question about them.\n"
)


@dataclass
class Spell:
    """What one user asked with one label."""

    count: int = 0
    first: date = date.max
    last: date = date.min

    def add(self, day: date) -> None:
        self.count += 1
        self.first, self.last = min(self.first, day), max(self.last, day)


@dataclass
class Tally:
    """What there is to ask about a window."""

    labels: Counter[str] = field(default_factory=Counter)
    days: Counter[date] = field(default_factory=Counter)
    months: defaultdict[date, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """Labels by the first day of the month."""
    users: defaultdict[int, dict[str, Spell]] = field(default_factory=lambda: defaultdict(dict))

    def add(self, day: date, user: int, label: str) -> None:
        self.labels[label] += 1
        self.days[day] += 1
        self.months[day.replace(day=1)][label] += 1
        self.users[user].setdefault(label, Spell()).add(day)

    def per_user(self, labels: tuple[str, ...] = LABELS) -> Counter[int]:
        """How many items of these labels each user has."""
        counts = {
            user: sum(spell.count for label, spell in spells.items() if label in labels)
            for user, spells in self.users.items()
        }
        return Counter({user: count for user, count in counts.items() if count})


@dataclass(frozen=True)
class Window:
    context: ContextFile
    tally: Tally


def make_window(name: str, tokens: int, shelf: Shelf) -> Window:
    """A window of so many tokens, from the seed that its name is.

    Raises:
        ConfigError: no line fits.
    """
    frame = INTRODUCTION.format(count=10**6, labels=", ".join(LABELS)) + REMINDER
    room = FILLED * tokens - RESERVED - shelf.count(frame)
    # The users depend on the number of items, which depends on the length of a line: all lines are alike.
    sample = "".join(itertools.islice((line for *_, line in _items(f"sample {name}", 100)), 100))
    count = int(room / (shelf.count(sample) / 100))
    if count < len(LABELS):
        raise too_short("OOLONG", tokens)
    tally = Tally()
    return Window(shelf.keep(_write(name, count, tally)), tally)


def _write(name: str, count: int, tally: Tally) -> Iterator[str]:
    listed = ", ".join(f"'{label}'" for label in LABELS)
    yield INTRODUCTION.format(count=count, labels=listed)
    for day, user, label, line in _items(name, count):
        tally.add(day, user, label)
        yield line
    yield REMINDER.format(count=count, labels=listed)


def _items(name: str, count: int) -> Iterator[tuple[date, int, str, str]]:
    """(day, user, label, line) of each item."""
    draw = random.Random(name)
    temperature = draw.randint(2, 6)
    weights = [math.exp(draw.random() * temperature / 2) for _ in LABELS]
    users = max(5, min(count // ITEMS_PER_USER, 90_000))
    ids = draw.sample(range(10_000, 100_000), users)
    few = max(1, int(FEW * users))
    days = [FIRST_DAY + timedelta(days=day) for day in range(DAYS)]
    written = [day.strftime(DATE) for day in days]
    for label in itertools.islice(_labels(draw, weights), count):
        day = draw.randrange(DAYS)
        user = ids[draw.randrange(few) if draw.random() < SHARE_OF_FEW else draw.randrange(few, users)]
        line = f"Date: {written[day]} || User: {user} || Instance: {ask(label, draw).text}\n"
        yield days[day], user, label, line


def _labels(draw: random.Random, weights: list[float]) -> Iterator[str]:
    while True:
        yield from draw.choices(LABELS, weights, k=1000)
