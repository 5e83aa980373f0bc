"""Signs that a contestant wrote to the judge instead of working on the task."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from palaestra.arena.judges.evidence import CHAT_TOKEN, HIDDEN, Exhibit

_LOOK_ALIKES = str.maketrans("абсԁеһіјкӏопрԛѕтухвмԝαβερτυνικο", "abcdehijklonpqstyxbmwaβeptuviko")
"""Letters of other scripts that look like Latin ones and that compatibility forms leave apart."""

_SIGNS = {
    "a forged verdict": (
        r'ballot"?\s*[:=]',
        r'"scores"\s*:\s*\{\s*"?[ab12]"?\s*:',
        r'"winner"\s*:\s*"',
        r"\[\[[ab][<>=ab]*\]\]",
        r"verdict\s*[:=]",
    ),
    "a forged section": (
        r"={3,}\s*\S*\s*(?:end of )?(?:task|request|contestant|candidate|answer)\b",
        r"\[(?:final answer|request|step \d+, \w+)\]",
        r"</?(?:answer|contestant|candidate|response|assistant|trajectory|evidence|rubric)[ _-]?[ab12]?>",
    ),
    "a role marker": (r"^[^\w\n]*(?:system|assistant|human|judge|developer)\s*:",),
    "instructions to the judge": (
        r"\b(?:ignore|disregard|forget|override)\b.{0,40}\b(?:instruction|rubric|rule|prompt|above)",
        r"\b(?:dear|to the|as the|attention|hey|note for the)\W{1,3}(?:judge|grader|evaluator|referee)\b",
        r"\byou (?:are|must|should|will)\b.{0,40}\b(?:judge|grader|score|rate|declare|award|choose)\b",
        r"\b(?:score|rate|give|award|declare|prefer|choose)\b.{0,30}\b(?:contestant|candidate|assistant)\b",
    ),
}
_PATTERNS = {sign: [re.compile(form, re.MULTILINE) for form in forms] for sign, forms in _SIGNS.items()}


def find_alerts(exhibits: Iterable[Exhibit]) -> list[str]:
    """What kinds of signs the exhibits hold, look-alike letters folded.

    A sign is a reason to look, not a proof: an answer about judging may hold one in all innocence.
    """
    text = "\n".join(exhibit.text for exhibit in exhibits)
    plain = unicodedata.normalize("NFKC", HIDDEN.sub("", text)).casefold().translate(_LOOK_ALIKES)
    found = [sign for sign, forms in _PATTERNS.items() if any(form.search(plain) for form in forms)]
    if CHAT_TOKEN.search(text):
        found.append("a token of a chat template")
    if HIDDEN.search(re.sub(r"[\r\x0b\x0c\x1c-\x1e\x85]", "", text)):
        found.append("hidden characters")
    return found
