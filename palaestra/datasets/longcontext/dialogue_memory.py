"""What somebody said in one of many earlier conversations: after LongMemEval (Wu et al., arXiv 2410.10813).

Generated dialogues have facts about the user, updates of them, and the same facts about other people. Answers
are judged by the value that they must name, where the benchmark asks a language model.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from palaestra.core.task import Task
from palaestra.datasets.longcontext.haystack import ANSWER_CHARACTERS, too_short
from palaestra.datasets.longcontext.words import ADJECTIVES, FIRST_NAMES, NOUNS, words
from palaestra.datasets.shelf import Shelf

START = datetime(2023, 1, 2, 8)
SPAN = timedelta(days=700)
RESERVED = 128
"""Tokens that are left for the answer."""
UNKNOWN = re.compile(
    r"not (?:been )?(?:mention|said|say|told|tell|state|given|know|enough|provide|specif|available)"
    r"|n['’]t (?:been )?(?:mention|said|say|told|tell|state|given|know|enough|provide|specif|have)"
    r"|never (?:mention|said|told|stated)|no (?:information|mention|record)"
    r"|unknown|unanswerable|cannot (?:be )?answer",
    re.IGNORECASE,
)

_VALUES = {
    "moved to": words("Lisbon Turin Bergen Gdansk Malaga Leuven Graz Brno Tartu Porto Ghent Lyon"),
    "bought a car of the colour": words("red blue green white black silver yellow orange brown purple"),
    "started to learn the": words("violin cello flute oboe banjo accordion harp trumpet zither ukulele"),
    "got a new dog, which is called": words("Bella Rex Luna Max Coco Rocky Daisy Bruno Lola Milo"),
    "switched to a job as a": words(
        "baker welder florist tutor barber printer ranger typist tailor gardener"
    ),
}
_QUESTIONS = {
    "moved to": "Which city do I live in?",
    "bought a car of the colour": "Which colour does my car have?",
    "started to learn the": "Which instrument am I learning?",
    "got a new dog, which is called": "What is my dog called?",
    "switched to a job as a": "What do I work as?",
}
"""About the user's present state, by what they said when it began."""
_OTHERS = ("sister", "neighbour", "cousin", "colleague", "old teacher", "landlord")
_EVENTS = (
    "sold my boat",
    "ran my first marathon",
    "finished painting the kitchen",
    "passed the sailing exam",
)
_COUNTED = ("bought another lamp", "read another novel by Sand", "visited another lighthouse")
_CHATTER = (
    "Could you tell me how to clean a {a} {n}?",
    "I have been thinking about the {n} of {name} again.",
    "What goes well with a {a} {n} and a {m}?",
    "Is it true that a {n} is always more {a} than a {m}?",
    "Please write two lines about a {n} for {name}.",
)
_REPLIES = (
    "A {n} wants to be {a}, and that takes time and a little patience with the {m}.",
    "I would begin with the {m}: it is {a}, and {name} would agree.",
    "There are {k} ways to do that, and the {a} one begins with a {n}.",
    "Gladly. Think of a {n}, {a} and still, and then of the {m} beside it.",
)


class Plot(NamedTuple):
    """What is hidden in a dialogue and asked for."""

    kind: str
    statements: Sequence[str]
    """Sentences of the user, or of the assistant where they begin so, in the order in which they are said."""
    question: str
    gold: str | None
    """None: the days between the two statements."""


class DialogueMemory:
    """The six kinds of questions of LongMemEval that a rule can judge, in turn."""

    name = "dialogue-memory"

    def tasks(self, count: int, tokens: int, shelf: Shelf, seed: int = 0) -> list[Task]:
        kinds = itertools.cycle(_PLOTS)
        return [
            self._task(f"{self.name}-{tokens}-{seed}-{index}", plot, tokens, shelf)
            for index, plot in zip(range(count), kinds, strict=False)
        ]

    def utility(self, task: Task, answer: str) -> float:
        return score(task.metadata["kind"], task.reference or "", answer)

    def _task(self, name: str, make: Callable[[random.Random], Plot], tokens: int, shelf: Shelf) -> Task:
        draw = random.Random(name)
        plot = make(draw)
        told = [_session(draw, statement) for statement in plot.statements]
        prompt = f"Today is {START + SPAN:%Y-%m-%d}. {plot.question}"
        header = shelf.count(_header(START))
        room = tokens - RESERVED - shelf.count(prompt) - sum(shelf.count(each) + header for each in told)
        if room < 0:
            raise too_short(self.name, tokens)
        fillers = shelf.fitting((_header(START) + each for each in _fillers(name)), room)
        count = fillers + len(told)
        places = sorted(draw.sample(range(count), len(told)))
        gold = plot.gold
        if gold is None:
            first, second = (_when(place, count).date() for place in places)
            gold = str((second - first).days)
        return Task(
            id=name,
            family=self.name,
            prompt=prompt,
            context=shelf.keep(_dialogue(name, dict(zip(places, told, strict=True)), count)),
            reference=gold,
            metadata={"kind": plot.kind, "tokens": tokens},
        )


class LongMemEval:
    """Tasks from LongMemEval's own files. The benchmark has a language model judge; naming the value is a
    rule that refuses other wordings of a right answer."""

    name = "longmemeval"

    def utility(self, task: Task, answer: str) -> float:
        return score(task.metadata["kind"], task.reference or "", answer)


def score(kind: str, gold: str, answer: str) -> float:
    """1 if the answer names the expected value; days may be off by one, and what was never said must be
    called unknown. That an older value is named beside the newest one does no harm.

    >>> score("knowledge-update", "Graz", "You lived in Turin and now live in Graz.")
    1.0
    >>> score("temporal-reasoning", "12", "13 days"), score("multi-session", "3", "4")
    (1.0, 0.0)
    """
    said = answer[:ANSWER_CHARACTERS].casefold()
    if kind == "abstention":
        return float(UNKNOWN.search(said) is not None)
    if kind == "temporal-reasoning" and (days := re.match(r"\d+", gold)):
        return float(any(abs(int(number) - int(days[0])) <= 1 for number in re.findall(r"\d+", said)))
    return float(re.search(rf"(?<!\w){re.escape(gold.strip().casefold())}(?!\w)", said) is not None)


def _single_user(draw: random.Random) -> Plot:
    fact, values = draw.choice(list(_VALUES.items()))
    value = draw.choice(values)
    return Plot("single-session-user", [f"I have {fact} {value}."], _QUESTIONS[fact], value)


def _single_assistant(draw: random.Random) -> Plot:
    thing, value = draw.choice(NOUNS), f"{draw.choice(ADJECTIVES)}-{draw.choice(NOUNS)}"
    said = f"Assistant: For your {thing} I recommend the brand {value}."
    return Plot("single-session-assistant", [said], f"Which brand did you recommend for my {thing}?", value)


def _multi_session(draw: random.Random) -> Plot:
    deed, times = draw.choice(_COUNTED), draw.randint(2, 6)
    question = f"How many times did I say that I have {deed}?"
    return Plot("multi-session", [f"I have {deed}."] * times, question, str(times))


def _temporal(draw: random.Random) -> Plot:
    first, second = draw.sample(_EVENTS, 2)
    question = f"How many days passed between the day I {first} and the day I {second}?"
    return Plot("temporal-reasoning", [f"Today I {first}.", f"Today I {second}."], question, None)


def _update(draw: random.Random) -> Plot:
    fact, values = draw.choice(list(_VALUES.items()))
    told = draw.sample(values, 3)
    return Plot("knowledge-update", [f"I have {fact} {value}." for value in told], _QUESTIONS[fact], told[-1])


def _abstention(draw: random.Random) -> Plot:
    fact, values = draw.choice(list(_VALUES.items()))
    said = f"My {draw.choice(_OTHERS)} has {fact} {draw.choice(values)}."
    return Plot("abstention", [said], _QUESTIONS[fact], "You have not mentioned it.")


_PLOTS: Sequence[Callable[[random.Random], Plot]] = (
    _single_user,
    _single_assistant,
    _multi_session,
    _temporal,
    _update,
    _abstention,
)


def _dialogue(name: str, told: dict[int, str], count: int) -> Iterator[str]:
    fillers = _fillers(name)
    for place in range(count):
        yield _header(_when(place, count)) + (told[place] if place in told else next(fillers))


def _when(place: int, count: int) -> datetime:
    """Sessions follow each other at even intervals."""
    return START + SPAN * place / count


def _header(when: datetime) -> str:
    return f"=== {when:%Y-%m-%d %H:%M} ===\n"


def _fillers(name: str) -> Iterator[str]:
    """Sessions without end, many of which tell of other people what is asked about the user."""
    draw = random.Random(f"fillers {name}")
    while True:
        fact, values = draw.choice(list(_VALUES.items()))
        aside = f"My {draw.choice(_OTHERS)} has {fact} {draw.choice(values)}."
        yield _session(draw, aside if draw.random() < 0.3 else "")


def _session(draw: random.Random, statement: str) -> str:
    """A few turns; the statement stands in one of them."""
    turns = [f"{_say(_CHATTER, draw)}\nAssistant: {_say(_REPLIES, draw)}" for _ in range(draw.randint(1, 3))]
    place = draw.randrange(len(turns))
    if statement.startswith("Assistant: "):
        turns[place] = f"{_say(_CHATTER, draw)}\n{statement} {_say(_REPLIES, draw)}"
    elif statement:
        turns[place] = f"{statement} {turns[place]}"
    return "".join(f"User: {turn}\n" for turn in turns) + "\n"


def _say(forms: Sequence[str], draw: random.Random) -> str:
    return draw.choice(forms).format(
        a=draw.choice(ADJECTIVES),
        n=draw.choice(NOUNS),
        m=draw.choice(NOUNS),
        name=draw.choice(FIRST_NAMES),
        k=draw.randint(2, 9),
    )


DIALOGUE_MEMORY = DialogueMemory()
LONG_MEM_EVAL = LongMemEval()
