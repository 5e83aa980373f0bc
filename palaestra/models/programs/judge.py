"""A judge that compares by what can be counted: coverage of the request, concreteness, sensible length.

Shown one contestant alone it gives whole points, as language models do that have nothing to hold it against.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from palaestra.core.chat import Message, Sampling

CONCRETE = 8
"""Numbers and names with which an answer counts as concrete."""
SENSIBLE_WORDS = range(10, 601)
_WORD = re.compile(r"[^\W\d_]{4,}")
_COMMON = frozenset(
    _WORD.findall(
        "about also been could does each from give have into just make more most must only other over please "
        "shall should some such than that their them then there these they this those very what when where "
        "which will with would your"
    )
)


def judge(messages: Sequence[Message], sampling: Sampling) -> str:
    """A few words on each contestant, then the ballot, as the prompts of the judges ask for it."""
    system, request = messages[0].content, messages[-1].content
    code = re.match(r"===== (\w+) task =====$", request, re.MULTILINE)
    if code is None:
        return "I was not shown a contest."
    sections = read_sections(request, code[1])
    wanted = _content_words(sections["task"].get("request", ""))
    criteria = _content_words("\n".join(re.findall(r"^- .*\): (.*)$", system, re.MULTILINE)))
    answers = {
        name.removeprefix("contestant "): exhibits.get("final answer", "")
        for name, exhibits in sections.items()
        if name != "task"
    }
    scores = {name: _score(answer, wanted, criteria) for name, answer in answers.items()}
    if len(scores) == 1:
        scores = {name: float(round(score)) for name, score in scores.items()}
    remarks = [
        f"{name} takes up {len(wanted & _content_words(answer))} of {len(wanted)} things asked for "
        f"and names {_concrete_items(answer)} particulars."
        for name, answer in answers.items()
    ]
    best = [name for name, score in scores.items() if score == max(scores.values())]
    verdict = {
        "ballot": code[1],
        "reason": f"{' and '.join(best)} stand first by coverage and concreteness.",
        "scores": scores,
    }
    return "\n".join([*remarks, json.dumps(verdict)])


def read_sections(request: str, code: str) -> dict[str, dict[str, str]]:
    """The exhibits of each section by their labels, as a reader finds them who trusts the lines with the
    code and nothing else."""
    frames = rf"^===== {code} (?!end of )(.+) =====\n((?:.*\n)*?)===== {code} end of \1 =====$"
    return {
        name: {
            label: "\n".join(line.removeprefix("> ") for line in text.splitlines())
            for label, text in re.findall(r"^\[(.*)\]\n((?:> .*\n)*)", section, re.MULTILINE)
        }
        for name, section in re.findall(frames, request, re.MULTILINE)
    }


def _content_words(text: str) -> frozenset[str]:
    """What a text is about: its words of four letters or more, without endings and common words."""
    return frozenset(word.rstrip("s") for word in _WORD.findall(text.lower()) if word not in _COMMON)


def _concrete_items(answer: str) -> int:
    """Distinct numbers, and names: capitalised words that do not begin a sentence."""
    return len(set(re.findall(r"\d+|(?<=[a-z,;] )[A-Z]\w+", answer)))


def _score(answer: str, wanted: frozenset[str], criteria: frozenset[str]) -> float:
    """From 0 to 10: five points for the request, one for the rubric's own words, three for particulars,
    one for a sensible length; nothing for an empty answer."""
    if not answer.strip():
        return 0.0
    said = _content_words(answer)
    points = 5 * len(wanted & said) / max(1, len(wanted)) + len(criteria & said) / max(1, len(criteria))
    points += 3 * min(1.0, _concrete_items(answer) / CONCRETE)
    points += len(answer.split()) in SENSIBLE_WORDS
    return round(points, 2)
