"""Reading a text once, section by section, with a memory of limited size."""

from __future__ import annotations

import re
from collections import Counter

from palaestra.models.programs.longcontext.skill import Skill, last_cut, read_notes, take_notes, write_notes
from palaestra.models.scripted import CHARACTERS_PER_TOKEN

UNFINISHED, GOES_ON = "Unfinished: ", "…"
"""Around the last part of a section, which goes on in the next; white space at its end counts."""


def update_memory(skill: Skill, question: str, shown: str) -> str:
    """The new memory, of what is shown: the old one, and a section."""
    memory, unfinished = _memory(shown)
    section = re.search(r"<section>\n(.*)\n</section>", shown, re.DOTALL)
    text = unfinished + (section[1] if section else "")
    cut = last_cut(skill, text)
    notes = memory + take_notes(skill, question, text[:cut])
    limit = re.search(r"[Aa]t most (\d+) tokens", shown)
    room = CHARACTERS_PER_TOKEN * int(limit[1]) - 100 if limit else 10**6
    rest = f"{UNFINISHED}{text[cut:].replace(chr(10), '⏎')}{GOES_ON}" if len(text) - cut < room // 2 else ""
    written = "\n".join(part for part in (rest, _what_fits(notes, room - len(rest))) if part)
    return f"<memory>\n{written}\n</memory>" if "<plan>" in shown else written or "Nothing yet."


def answer_from_memory(skill: Skill, question: str, shown: str) -> str:
    memory, unfinished = _memory(shown)
    return skill.conclude(question, memory + take_notes(skill, question, unfinished))


def _memory(shown: str) -> tuple[Counter[str], str]:
    """The notes, and the part that goes on."""
    found = re.search(r"<memory>\n(.*?)\n</memory>", shown, re.DOTALL)
    memory = found[1] if found else ""
    rest = re.search(rf"^{UNFINISHED}(.*){GOES_ON}$", memory, re.MULTILINE)
    return read_notes(memory), rest[1].replace("⏎", "\n") if rest else ""


def _what_fits(notes: Counter[str], room: int) -> str:
    """The notes if there is room for all, else those of the greatest amounts, in the order found."""
    kept: set[str] = set()
    for noted, amount in notes.most_common():
        room -= len(f"{amount} | {noted}\n")
        if room < 0:
            break
        kept.add(noted)
    return write_notes({noted: amount for noted, amount in notes.items() if noted in kept})
