"""Which of several alike texts came first: multi-round coreference, MRCR.

The task of openai/mrcr, after Vodrahalli et al., "Michelangelo" (arXiv 2409.12640).
"""

from __future__ import annotations

import difflib
import itertools
import random
import string
from collections.abc import Iterator
from dataclasses import dataclass

from palaestra.core.task import Task
from palaestra.datasets.longcontext.haystack import scatter, too_short
from palaestra.datasets.longcontext.words import ADJECTIVES, FIRST_NAMES, NOUNS, words
from palaestra.datasets.shelf import Shelf

FORMATS = words("poem riddle speech letter news-article short-scene song diary-entry review blog-post")
ANSWER_TOKENS = 128
"""Tokens of a length that are left for the answer."""
_PLURALS = [f"{noun}s" for noun in NOUNS]
_SENTENCES = (
    "{name} kept a {a} {n} beside the {b} {m} and never said why.",
    "Nobody in the {n} had seen so {a} a {m} before.",
    "Then the {m} began to turn, {a} and {b}, until {name} laughed.",
    "What would a {b} {n} want with the {m} of {name}?",
    "It was {a}, it was {b}, and it smelled of {n} and {m}.",
    "{name} wrote a line about the {m}, crossed it out, and drew a {n} instead.",
    "Far behind the {a} {m} a {n} was waiting for {name}.",
    "So take the {n}, leave the {m}, and be {b} with {name}.",
)


@dataclass(frozen=True)
class Mrcr:
    """A long chat in which the same text is asked for several times; one of them is to be repeated."""

    name: str
    needles: int

    def tasks(self, count: int, tokens: int, shelf: Shelf, seed: int = 0) -> list[Task]:
        return [self._task(f"{self.name}-{tokens}-{seed}-{index}", tokens, shelf) for index in range(count)]

    def utility(self, task: Task, answer: str) -> float:
        return score(task.reference or "", task.metadata["prefix"], answer)

    def _task(self, name: str, tokens: int, shelf: Shelf) -> Task:
        draw = random.Random(name)
        form, topic = draw.choice(FORMATS), draw.choice(_PLURALS)
        replies = [_write(draw) for _ in range(self.needles)]
        needles = [_turn(form, topic, reply) for reply in replies]
        wanted = draw.randrange(self.needles)
        prefix = "".join(draw.choices(string.ascii_letters + string.digits, k=10))
        prompt = (
            f"Prepend {prefix} to the {_ordinal(wanted + 1)} (1 indexed) {form} about {topic}. Do not "
            "include any other text in your response."
        )
        room = tokens - ANSWER_TOKENS - shelf.count(prompt) - sum(map(shelf.count, needles))
        if room < 0:
            raise too_short(self.name, tokens)
        turns = shelf.fitting(_chat(name, form, topic), room)
        chat = itertools.islice(_chat(name, form, topic), turns)
        return Task(
            id=name,
            family=self.name,
            prompt=prompt,
            context=shelf.keep(scatter(chat, needles, turns, draw)),
            reference=prefix + replies[wanted],
            metadata={"prefix": prefix, "tokens": tokens},
        )


class PublishedMrcr:
    """Tasks from openai/mrcr's own files."""

    name = "mrcr"

    def utility(self, task: Task, answer: str) -> float:
        return score(task.reference or "", task.metadata["prefix"], answer)


def score(gold: str, prefix: str, answer: str) -> float:
    """0 without the prefix; else the sequence-matcher ratio of the rests of the two texts.

    The order of the two and the matcher's own heuristic for long texts are those of the published score.
    """
    if not answer.startswith(prefix):
        return 0.0
    return difflib.SequenceMatcher(None, answer.removeprefix(prefix), gold.removeprefix(prefix)).ratio()


def _chat(name: str, form: str, topic: str) -> Iterator[str]:
    """Turns without end. Half of them are near misses: the same form, or the same topic."""
    draw = random.Random(f"chat {name}")
    while True:
        other_form, other_topic = draw.choice(FORMATS), draw.choice(_PLURALS)
        if draw.random() < 0.25:
            other_form = form
        elif draw.random() < 0.33:
            other_topic = topic
        if (other_form, other_topic) != (form, topic):
            yield _turn(other_form, other_topic, _write(draw))


def _turn(form: str, topic: str, reply: str) -> str:
    return f"User: write a {form} about {topic}\n\nAssistant: {reply}\n\n"


def _write(draw: random.Random) -> str:
    """A text that has little in common with any other, as far as a sequence matcher can tell."""
    sentences = (
        draw.choice(_SENTENCES).format(
            name=draw.choice(FIRST_NAMES),
            a=draw.choice(ADJECTIVES),
            b=draw.choice(ADJECTIVES),
            n=draw.choice(NOUNS),
            m=draw.choice(NOUNS),
        )
        for _ in range(draw.randint(3, 6))
    )
    return "\n".join(sentences)


def _ordinal(number: int) -> str:
    return f"{number}{({1: 'st', 2: 'nd', 3: 'rd'}).get(number, 'th')}"


MRCR_2, MRCR_4, MRCR_8 = Mrcr("mrcr-2", 2), Mrcr("mrcr-4", 4), Mrcr("mrcr-8", 8)
MRCR = PublishedMrcr()
