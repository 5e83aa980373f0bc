"""Reading what a recursive language model wrote: cells of code, and answers in the published text forms."""

from __future__ import annotations

import re
from typing import NamedTuple

RUNNABLE = ("repl", "python", "py", "")
"""Languages of a fenced block that make it a cell."""

_FENCE = re.compile(r"^ {0,3}(?P<fence>`{3,}|~{3,})[ \t]*(?P<language>[^\s`]*)[^\n`]*$")
_FINAL_VAR = re.compile(r"^\s*FINAL_VAR\(\s*[\"']?(?P<name>\w+)[\"']?\s*\)", re.MULTILINE)
_FINAL = re.compile(r"^\s*FINAL\(", re.MULTILINE)


class Block(NamedTuple):
    language: str
    code: str
    closed: bool


class Reply(NamedTuple):
    thought: str
    """The text outside the blocks."""
    blocks: tuple[Block, ...]

    @property
    def cells(self) -> list[str]:
        """Code to run. An answer in one of the text forms becomes the last cell."""
        cells = [block.code for block in self.blocks if block.closed and block.language in RUNNABLE]
        if found := _FINAL_VAR.search(self.thought):
            cells.append(f"FINAL_VAR({found['name']!r})")
        elif found := _FINAL.search(self.thought):
            cells.append(f"FINAL({_enclosed(self.thought[found.end() :]).strip()!r})")
        return cells

    @property
    def not_run(self) -> list[str]:
        """Languages of the blocks that are no cells."""
        return [block.language for block in self.blocks if block.closed and block.language not in RUNNABLE]

    @property
    def unclosed(self) -> bool:
        return any(not block.closed for block in self.blocks)


def read_reply(text: str) -> Reply:
    """Split a message at its fences; as in Markdown, a closing fence is at least as long as its opening."""
    outside: list[str] = []
    blocks: list[Block] = []
    fence, language, inside = "", "", list[str]()
    for line in text.split("\n"):
        if fence:
            if line.strip().startswith(fence) and not line.strip().strip(fence[0]):
                blocks.append(Block(language, "\n".join(inside), closed=True))
                fence = ""
            else:
                inside.append(line)
        elif opening := _FENCE.match(line):
            fence, language, inside = opening["fence"], opening["language"].lower(), []
        else:
            outside.append(line)
    if fence:
        blocks.append(Block(language, "\n".join(inside), closed=False))
    return Reply("\n".join(outside).strip(), tuple(blocks))


def _enclosed(text: str) -> str:
    """What comes before the parenthesis that closes; without one, before the last there is."""
    depth = 1
    for place, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return text[:place]
    return text.rpartition(")")[0] or text
