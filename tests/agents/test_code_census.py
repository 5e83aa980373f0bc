import asyncio
import sysconfig
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from palaestra.agents.rlm import RLMAgent, RLMConfig
from palaestra.core.budget import Budget
from palaestra.core.chat import Message, Sampling
from palaestra.core.task import Task
from palaestra.datasets.stdlib import (
    QUESTION,
    SourceFile,
    as_document,
    count_coroutine_functions,
    read_stdlib,
)
from palaestra.models.programs.code_census import code_census, reader
from palaestra.models.scripted import ScriptedModel
from palaestra.sandbox.base import CellLimits

AGENT = RLMAgent(RLMConfig())
STDLIB = Path(sysconfig.get_path("stdlib"))
TALK = '''x = """
async def no(): pass
"""  # async def no
'''
MADE = 1_500 * (
    TALK
    + r'''
async def yes():
    async  \
  def inner(): pass
    return 'async def no', "\"async def no", """
class No: async def no
"""
'''
)


@pytest.fixture(scope="module")
def files() -> list[SourceFile]:
    """Where the library writes coroutine functions or only talks of them, and a large made-up file."""
    read = [file for folder in ("asyncio", "pydoc_data", "unittest") for file in read_stdlib(STDLIB / folder)]
    made = SourceFile("made.py", MADE, count_coroutine_functions(MADE))
    return [*read, made, SourceFile("talk.py", TALK, 0)]


def test_the_sub_model_counts_what_the_syntax_tree_counts(files: list[SourceFile]) -> None:
    for file in files:
        question = Message(role="user", content=f"How many?\n-----\n{file.text}")
        assert reader([question], Sampling()) == str(file.coroutine_functions), file.name


def test_the_whole_path_gives_the_number_that_ast_gives(stage: Any, files: list[SourceFile]) -> None:
    document = as_document(files)
    assert len(document) > 10 * 100_000
    context = stage.context([], code_census, Budget(), CellLimits())
    census = ScriptedModel("scripted/code-census", code_census)
    context = replace(context, models=(census, context.models[1]))
    trajectory = asyncio.run(AGENT.run(Task(id="t", prompt=QUESTION, context=document), context))
    stage.check(trajectory)
    assert trajectory.status == "finished"
    assert trajectory.answer == str(sum(file.coroutine_functions for file in files))
    assert int(trajectory.answer) > 3_000
    assert len(trajectory.steps) == 3
    assert max(len(prompt) for prompt, _ in stage.asked) < 101_000
    pieces = [prompt for prompt, _ in stage.asked if "of the Python file made.py" in prompt]
    assert len(pieces) > 1
    assert "".join(piece.partition("\n-----\n")[2] for piece in pieces) == MADE
