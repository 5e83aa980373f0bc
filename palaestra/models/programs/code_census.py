"""Counting `async def` in a large body of Python source, as a competent model at the root of an RLM would.

`root` looks at the context, has every file that may hold a definition read by a sub-model, checks what came
back, and answers. `reader` is that sub-model: it knows where strings and comments of a Python text end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from palaestra.core.chat import Message, Sampling

LOOK = """
print(len(context), "characters")
print(context[:300])
"""

SURVEY = r"""
import bisect, re

LIMIT = 100_000  # characters of source per sub-call

parts = re.split(r"^=== FILE: (.+) ===\n", context, flags=re.MULTILINE)
files = dict(zip(parts[1::2], parts[2::2])) if len(parts) > 1 else {"the file": context}
wanted = {name: text for name, text in files.items() if re.search(r"\basync[\s\\]+def\b", text)}

quoted = re.compile(
    r"#[^\n]*"
    r"|'{3}(?:\\.|[^\\])*?'{3}"
    r'|"{3}(?:\\.|[^\\])*?"{3}'
    r"|'(?:\\.|[^'\\\n])*'"
    r'|"(?:\\.|[^"\\\n])*"',
    re.DOTALL,
)

def cut(text):
    # Pieces of at most LIMIT characters, cut where a line begins outside every string, at the top level
    # of the code if possible.
    strings = [match.span() for match in quoted.finditer(text)]
    def is_outside(position):
        before = bisect.bisect_left(strings, (position,)) - 1
        return before < 0 or strings[before][1] <= position
    starts = [match.end() for match in re.finditer(r"(?<!\\)\n", text) if is_outside(match.end())]
    top = [start for start in starts if not text[start : start + 1].isspace()]
    pieces, begin = [], 0
    while len(text) - begin > LIMIT:
        ends = [end for end in top if begin < end <= begin + LIMIT]
        ends = ends or [end for end in starts if begin < end <= begin + LIMIT] or [begin + LIMIT]
        pieces.append(text[begin : ends[-1]])
        begin = ends[-1]
    return [*pieces, text[begin:]]

def question(name, piece, number, of):
    what = f"part {number} of {of} of the Python file {name}" if of > 1 else f"the Python file {name}"
    return (
        f"Below the line is {what}. How many coroutine functions does it define, that is, how often does "
        "`async def` begin a definition? What stands in strings and comments does not count. "
        f"Answer with the number alone.\n-----\n{piece}"
    )

prompts, names = [], []
for name, text in wanted.items():
    pieces = cut(text)
    prompts += [question(name, piece, number, len(pieces)) for number, piece in enumerate(pieces, 1)]
    names += [name] * len(pieces)
replies = llm_query_batched(prompts)
print(len(files), "files,", len(wanted), "of them to read,", len(prompts), "sub-calls")
print(list(zip(names, replies))[:5])
"""

CHECK = """
def unread():
    return [index for index, reply in enumerate(replies) if not reply.strip().isdigit()]

again = unread()
for index, reply in zip(again, llm_query_batched([prompts[index] for index in again])):
    replies[index] = reply
counts = {}
for name, reply in zip(names, replies):
    counts[name] = counts.get(name, 0) + (int(reply) if reply.strip().isdigit() else 0)
print("asked again:", len(again), "- still without a number:", [(names[i], replies[i]) for i in unread()])
print("most:", sorted(counts.items(), key=lambda item: -item[1])[:3], "- total:", sum(counts.values()))
answer = {"content": str(sum(counts.values())), "ready": not unread()}
"""

_LEXEME = re.compile(
    r"#[^\n]*"
    r"|'{3}(?:\\.|[^\\])*?'{3}"
    r'|"{3}(?:\\.|[^\\])*?"{3}'
    r"|'(?:\\.|[^'\\\n])*'"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|(?P<definition>\basync(?:[ \t\f]|\\\n)+def\b)",
    re.DOTALL,
)


def code_census(messages: Sequence[Message], sampling: Sampling) -> str:
    """`root` or `reader`, by what the conversation is: only a root gets a system message."""
    role = root if messages[0].role == "system" else reader
    return role(messages, sampling)


def root(messages: Sequence[Message], sampling: Sampling) -> str:
    """Look, survey, check and answer: one cell a turn."""
    done = [message.content for message in messages if message.role == "assistant"]
    news = messages[-1].content
    if "There are no more turns." in news:
        _, _, draft = news.rpartition("Your draft so far:")
        return draft.strip() or "I could not finish the count."
    if not done:
        return _turn("First I look at how the context is made up.", LOOK)
    surveyed = SURVEY in done[-1] or CHECK in done[-1]
    if not surveyed or "[error]" in news:
        return _turn(
            "Every file stands after a header line. A search finds the files that say `async def` at all, "
            "but some of that is in strings and comments, so each of them has to be read. I ask about one "
            "file at a time, in pieces where a file is long.",
            SURVEY,
        )
    return _turn("Every piece needs a number. I ask again where there is none, and add up.", CHECK)


def reader(messages: Sequence[Message], sampling: Sampling) -> str:
    """How many coroutine functions begin in the text below the line, outside strings and comments."""
    _, line, text = messages[-1].content.partition("\n-----\n")
    if not line:
        return "There is no source below a line in this message."
    return str(sum(lexeme["definition"] is not None for lexeme in _LEXEME.finditer(text)))


def _turn(thought: str, cell: str) -> str:
    return f"{thought}\n\n```repl{cell}```"
