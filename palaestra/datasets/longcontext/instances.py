"""Questions whose kind of answer has to be read: the instances of the windows of OOLONG.

The kind is that of the noun that is asked for, which stands after the word that asks and any adjectives.
Nouns of other kinds stand before and after it, so that looking for words does not tell the kind.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from palaestra.datasets.longcontext.words import words

LABELS = (
    "abbreviation",
    "description and abstract concept",
    "entity",
    "human being",
    "location",
    "numeric value",
)
"""The coarse kinds of TREC's questions."""

_NOUNS = {
    "abbreviation": "abbreviation acronym initialism shorthand contraction",
    "description and abstract concept": "reason meaning origin purpose cause explanation definition effect",
    "entity": "instrument animal fruit vehicle fabric dish tool language flower currency",
    "human being": "painter senator pilot composer chemist admiral novelist dancer surgeon explorer",
    "location": "river city island mountain harbour village desert province lake valley",
    "numeric value": "distance weight year temperature population speed height price age percentage",
}
_HEADS = {label: words(nouns) for label, nouns in _NOUNS.items()}
_THINGS = [noun for label in ("entity", "human being", "location") for noun in _HEADS[label]]
_ADJECTIVES = words("famous early modern northern ancient common small official secret last first ordinary")
_FRONTS = (
    "",
    "",
    "In the account of the {other}, ",
    "Among all notes on the {other} and the {another}, ",
    "According to the {other}, ",
    "When people speak of the {other}, ",
)
_ASKS = (
    "which {head}",
    "what {head}",
    "what is the {head} that",
    "can you name the {head} that",
    "which {head}",
)
_TAILS = (
    "belongs to the {other}",
    "is linked with the {other}",
    "was noted beside the {other} and the {another}",
    "appears in the story of the {other}",
    "is given for the {other}",
    "made the {other} known",
    "comes up in every guide to the {other}",
    "was found with the {other} of the {another}",
)


class Question(NamedTuple):
    text: str
    label: str


def ask(label: str, draw: random.Random) -> Question:
    """A question of this kind."""
    head = draw.choice(_HEADS[label])
    if draw.random() < 0.5:
        head = f"{draw.choice(_ADJECTIVES)} {head}"
    form = f"{draw.choice(_FRONTS)}{draw.choice(_ASKS)} {draw.choice(_TAILS)}?"
    text = form.format(head=head, other=draw.choice(_THINGS), another=draw.choice(_THINGS))
    return Question(text[0].upper() + text[1:], label)
