"""What OOLONG asks about a window: counting, users, and the course of time.

Each maker gives one question, or None where its answer would not be clear: the frequencies that decide it
must differ by 2 %, and nothing may be tied.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple, TypeVar

from palaestra.datasets.longcontext.instances import LABELS
from palaestra.datasets.longcontext.window import DATE, DAYS, FIRST_DAY, Tally

T = TypeVar("T", bound=Hashable)

GAP = 0.02
MONTH = "%b %Y"


class Query(NamedTuple):
    text: str
    form: str
    """How the answer is to be written."""
    kind: str
    gold: str


Maker = Callable[[Tally, random.Random], Query | None]


def most_frequent_label(tally: Tally, draw: random.Random) -> Query | None:
    gold = _first(tally.labels)
    return None if gold is None else _label("which of the labels is the most common?", gold)


def least_frequent_label(tally: Tally, draw: random.Random) -> Query | None:
    gold = _first(tally.labels, most=False)
    if gold is None or len(tally.labels) < len(LABELS):  # one that has no line would be the least common
        return None
    return _label("which of the labels is the least common?", gold)


def relative_frequency(tally: Tally, draw: random.Random) -> Query | None:
    first, second = draw.sample(LABELS, 2)
    text = f"is label '{first}' more common, less common, or the same frequency as label '{second}'?"
    return _comparison(text, first, second, tally.labels[first], tally.labels[second])


def number_with_label(tally: Tally, draw: random.Random) -> Query | None:
    label = draw.choice(LABELS)
    return _number(f"how many lines should be labelled '{label}'?", tally.labels[label])


def most_frequent_user(tally: Tally, draw: random.Random) -> Query | None:
    return _user("which user has the most lines?", _first(tally.per_user()))


def user_with_label(tally: Tally, draw: random.Random) -> Query | None:
    label = draw.choice(LABELS)
    text = f"which user has the most lines with the label '{label}'?"
    return _user(text, _first(tally.per_user((label,))))


def label_of_users(tally: Tally, draw: random.Random) -> Query | None:
    users, counts = _some_users(tally, draw)
    gold = _first(counts)
    return (
        None
        if gold is None
        else _label(f"considering only the lines of {_listed(users)}, which label is the most common?", gold)
    )


def number_of_users(tally: Tally, draw: random.Random) -> Query | None:
    users, counts = _some_users(tally, draw)
    label = draw.choice(LABELS)
    text = f"considering only the lines of {_listed(users)}, how many should be labelled '{label}'?"
    return _number(text, counts[label])


def user_against_user(tally: Tally, draw: random.Random) -> Query | None:
    counts = tally.per_user((label := draw.choice(LABELS),))
    if len(counts) < 2:
        return None
    first, second = draw.sample(sorted(counts), 2)
    if counts[first] == counts[second]:
        return None
    text = f"which user has more lines with the label '{label}': user {first} or user {second}?"
    return _user(text, max((first, second), key=counts.__getitem__))


def most_frequent_date(tally: Tally, draw: random.Random) -> Query | None:
    day = _first(tally.days)
    return (
        None
        if day is None
        else Query("which date has the most lines?", _form("Date", "date, as above"), "DATE", f"{day:{DATE}}")
    )


def dates_with_lines(tally: Tally, draw: random.Random) -> Query | None:
    times = draw.choice(sorted(set(tally.days.values())))
    dates = sum(count == times for count in tally.days.values())
    return _number(f"how many dates have exactly {times} line{'s' * (times > 1)}?", dates)


def before_and_after(tally: Tally, draw: random.Random) -> Query | None:
    label = draw.choice(LABELS)
    day = (FIRST_DAY + timedelta(days=draw.randrange(DAYS // 4, 3 * DAYS // 4))).replace(day=1)
    counts = [
        sum(labels[label] for month, labels in tally.months.items() if (month < day) == before)
        for before in (True, False)
    ]
    compared = f"before {day:{DATE}}", "from then on"
    text = f"is label '{label}' more common, less common, or the same frequency {' as '.join(compared)}?"
    return _comparison(text, *compared, *counts)


def label_of_months(tally: Tally, draw: random.Random) -> Query | None:
    first, last = sorted(draw.sample(_months(), 2))
    counts = Counter[str]()
    for month, labels in tally.months.items():
        if first <= month <= last:
            counts += labels
    gold = _first(counts)
    text = f"from {first:{MONTH}} to {last:{MONTH}}, both included, which label is the most common?"
    return None if gold is None else _label(text, gold)


def first_month(tally: Tally, draw: random.Random) -> Query | None:
    first, second = draw.sample(LABELS, 2)
    month = min(
        (month for month, labels in tally.months.items() if labels[first] > labels[second]), default=None
    )
    text = f"which is the first month in which label '{first}' has more lines than label '{second}'?"
    return (
        None
        if month is None
        else Query(
            text, _form("Answer", "month and year, such as Mar 2023"), "MONTH_YEAR", f"{month:{MONTH}}"
        )
    )


COUNTING: Sequence[Maker] = (most_frequent_label, least_frequent_label, relative_frequency, number_with_label)
USER: Sequence[Maker] = (
    most_frequent_user,
    user_with_label,
    label_of_users,
    number_of_users,
    user_against_user,
)
TIMELINE: Sequence[Maker] = (
    most_frequent_date,
    dates_with_lines,
    before_and_after,
    label_of_months,
    first_month,
)


def _form(word: str, what: str) -> str:
    return f"Give your final answer in the form '{word}: answer', where answer is the {what}."


def _label(text: str, gold: str) -> Query:
    return Query(text, _form("Label", "label"), "LABEL", gold)


def _number(text: str, gold: int) -> Query:
    return Query(text, _form("Answer", "number"), "NUMERIC", str(gold))


def _user(text: str, gold: int | None) -> Query | None:
    return None if gold is None else Query(text, _form("User", "id of the user"), "USER", str(gold))


def _comparison(text: str, first: str, second: str, count: int, other: int) -> Query | None:
    if abs(count - other) < GAP * max(count, other, 1):
        return None
    gold = "more common" if count > other else "less common"
    choices = "more common than, less common than, or same frequency as"
    return Query(
        text,
        f"Give your final answer in the form 'Answer: {first} is [{choices}] {second}'.",
        "COMPARISON",
        gold,
    )


def _first(counts: Mapping[T, int], *, most: bool = True) -> T | None:
    """The most or least frequent one, if it is so by a clear gap."""
    ranked = sorted(counts.items(), key=lambda pair: pair[1], reverse=most)
    if len(ranked) < 2:
        return ranked[0][0] if ranked else None
    (found, count), (_, next_count) = ranked[:2]
    return found if abs(count - next_count) >= max(1, GAP * max(count, next_count)) else None


def _some_users(tally: Tally, draw: random.Random) -> tuple[list[int], Counter[str]]:
    users = draw.sample(sorted(tally.users), min(4, len(tally.users)))
    counts = Counter[str]()
    for user in users:
        counts.update({label: spell.count for label, spell in tally.users[user].items()})
    return users, counts


def _listed(users: Sequence[int]) -> str:
    return f"the users {', '.join(map(str, users))}"


def _months() -> list[date]:
    return sorted({(FIRST_DAY + timedelta(days=day)).replace(day=1) for day in range(DAYS)})
