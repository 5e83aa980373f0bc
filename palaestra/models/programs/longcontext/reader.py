"""The scripted model for long contexts: a careful reader in the role of whichever agent it is asked by.

It really reads what it is shown, and nothing else: alone it needs the whole context in its window, as a
memory agent it knows what fits into the memory, and with tools it reads as far as it gets.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from palaestra.core.chat import Message, Sampling
from palaestra.models.programs.longcontext import conversations, labels, patterns, reports, with_tools
from palaestra.models.programs.longcontext.notekeeper import answer_from_memory, update_memory
from palaestra.models.programs.longcontext.skill import Skill, take_notes, write_notes

SKILLS = (
    patterns.NEEDLES,
    patterns.ASSIGNMENTS,
    patterns.COMMON_WORDS,
    patterns.REPLIES,
    labels.PAIRS,
    labels.COUNTS,
    conversations.CONVERSATIONS,
    reports.REPORTS,
)
_ROLES = (
    # (what is asked for, the form of the message that asks for it)
    ("alone", re.compile(r"\A<context>\n(?P<text>.*)\n</context>\n\n(?P<question>.*)\Z", re.DOTALL)),
    (
        "piece",
        re.compile(
            r"\A" + with_tools.PIECE.format(question="(?P<question>.*?)", piece="(?P<text>.*)") + r"\Z",
            re.DOTALL,
        ),
    ),
    (
        "memory",
        re.compile(
            r"\AYou read a long text .*?The (?:question|problem):\n\n(?P<question>.*?)\n\n"
            r"(?=Your memory|<memory>)(?P<text>.*)",
            re.DOTALL,
        ),
    ),
    (
        "recall",
        re.compile(
            r"\AYou have read a long text (?P<text>.*)The question:\n\n(?P<question>.*?)\n\nAnswer exactly",
            re.DOTALL,
        ),
    ),
)


def reader(messages: Sequence[Message], sampling: Sampling) -> str:
    if messages[0].role == "system":
        return _with_tools(messages)
    for role, form in _ROLES:
        if shown := form.search(messages[-1].content):
            skill = skill_for(shown["question"])
            if skill is None:
                break
            return _read(role, skill, shown["question"], shown["text"])
    return "I do not know how to go about that."


def skill_for(question: str) -> Skill | None:
    return next((skill for skill in SKILLS if re.search(skill.asked_by, question)), None)


def _read(role: str, skill: Skill, question: str, text: str) -> str:
    match role:
        case "alone":
            return skill.conclude(question, take_notes(skill, question, text))
        case "piece":
            return write_notes(take_notes(skill, question, text)) or "nothing"
        case "memory":
            return update_memory(skill, question, text)
        case _:
            return answer_from_memory(skill, question, text)


def _with_tools(messages: Sequence[Message]) -> str:
    asked = re.search(
        r"The question:\n\n(.*?)\n\n(?:`context` is|It is about)", messages[1].content, re.DOTALL
    )
    skill = skill_for(asked[1]) if asked else None
    if asked is None or skill is None:
        return "I do not know how to go about that."
    if "```repl" in messages[0].content:
        return with_tools.recurse(skill, asked[1], messages)
    return with_tools.react(skill, asked[1], messages)
