"""Reading with a Python session: with sub-models as a recursive language model, or page by page as ReAct."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence

from palaestra.core.chat import Message
from palaestra.models.programs.longcontext.skill import Skill, read_notes, take_notes

PAGES = 24
"""After so many pages an impatient reader answers with what there is."""
PIECE = """Read the text below the line for this question:
{question}

Note what it says about it, one note per line as `amount, bar, note`.
-----
{piece}"""
"""What a sub-model is told."""

_LOOK = 'print(len(context), "characters")\nprint(context[:500])'
_TOOLS = """
import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from itertools import product

Notes = dict
"""
_BY_CODE = """
notes = Counter()
for noted, amount in {note}(question, context):
    notes[noted] += amount
result = {conclude}(question, notes)
"""
_BY_READING = r"""
hint = {hint!r}
places = [place.start() for place in re.finditer({begins!r}, context, re.MULTILINE)] or [0]
parts = [context[a:b] for a, b in zip(places, [*places[1:], len(context)])]
relevant = [part for part in parts if re.search(hint, part)]
pieces, piece = [], ""
for part in relevant:
    if piece and len(piece) + len(part) > {limit}:
        pieces.append(piece)
        piece = ""
    piece += part
pieces.append(piece)
print(len(parts), "parts,", len(relevant), "to read in", len(pieces), "pieces")

prompts = [{told!r}.format(question=question, piece=piece) for piece in pieces]
replies = llm_query_batched(prompts)
failed = [index for index, reply in enumerate(replies) if reply.startswith("[sub-call failed]")]
for index, reply in zip(failed, llm_query_batched([prompts[index] for index in failed])):
    replies[index] = reply
print("asked again:", len(failed))
notes = Counter()
for reply in replies:
    notes.update(read_notes(reply))
result = {conclude}(question, notes)
"""
_FINISH = '\nprint(result[:500])\nanswer = {"content": result, "ready": True}'
_SHOW = '\nprint("<result>\\n" + result + "\\n</result>")'


def recurse(skill: Skill, question: str, messages: Sequence[Message]) -> str:
    """A turn at the root of a recursive language model: look, then read all of it and answer."""
    if "There are no more turns." in messages[-1].content:
        return "I could not find it out."
    if not any(message.role == "assistant" for message in messages):
        return f"First I look at how the context is made up.\n\n```repl\n{_LOOK}\n```"
    if skill.is_code:
        return f"Code can find all of that.\n\n```repl\n{_code(skill, question)}{_FINISH}\n```"
    told = re.search(r"up to (\d+) characters", messages[0].content)
    limit = int(told[1]) - 2_000 if told else 100_000
    work = _BY_READING.format(
        told=PIECE,
        hint=skill.hint(question) if skill.hint else "",
        begins=skill.begins,
        limit=limit,
        conclude=skill.conclude.__name__,
    )
    cell = "\n\n".join(
        (_given(question), inspect.getsource(read_notes), inspect.getsource(skill.conclude), work)
    )
    thought = "This takes reading. Sub-models take notes of all pieces, and code adds them up."
    return f"{thought}\n\n```repl\n{cell}{_FINISH}\n```"


def react(skill: Skill, question: str, messages: Sequence[Message]) -> str:
    """A turn of ReAct: code for what code can do, else what a search finds, else page after page."""
    seen = [message.content for message in messages if message.content.startswith("Observation: ")]
    if skill.is_code:
        if not seen:
            return _move("Code can find all of that.", "python", _code(skill, question) + _SHOW)
        result = re.search(r"<result>\n(.*)\n</result>", seen[-1], re.DOTALL)
        return _move("This is it.", "finish", result[1] if result else "I could not find it out.")
    if skill.hint:
        if not seen:
            return _move("I look at the parts that may say it.", "python", _search(skill, question))
        notes = take_notes(skill, question, _clean(seen[-1]))
        return _move("This should be all of it.", "finish", skill.conclude(question, notes))
    pages = [_clean(each) for each in seen]
    ended = bool(pages) and "The context ends at position" in pages[-1]
    if not ended and len(pages) < PAGES:
        return _move("I have to read it.", "read", str(sum(map(len, pages))))
    text = "".join(pages[:-1] if ended else pages)
    return _move(
        "This is as far as I can read.", "finish", skill.conclude(question, take_notes(skill, question, text))
    )


def _code(skill: Skill, question: str) -> str:
    work = _BY_CODE.format(note=skill.note.__name__, conclude=skill.conclude.__name__)
    return "\n\n".join(
        (_given(question), inspect.getsource(skill.note), inspect.getsource(skill.conclude), work)
    )


def _given(question: str) -> str:
    return f"{_TOOLS}\nquestion = {question!r}\n"


def _search(skill: Skill, question: str) -> str:
    assert skill.hint is not None
    return (
        f"import re\nparts = re.split({skill.begins!r}, context, flags=re.MULTILINE)\n"
        f"heads = re.findall({skill.begins!r}, context, re.MULTILINE)\n"
        f"hint = {skill.hint(question)!r}\n"
        "found = [head + part for head, part in zip(heads, parts[1:]) if re.search(hint, part)]\n"
        'print("\\n".join(found))'
    )


def _clean(observation: str) -> str:
    """What was read or printed, without what a session adds."""
    return re.sub(r"\n\[variables\].*\Z", "\n", observation.removeprefix("Observation: "))


def _move(thought: str, tool: str, argument: str) -> str:
    return f"Thought: {thought}\nAction: {tool}[{argument}]"
