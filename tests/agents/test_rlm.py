import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.hostile_cells import CELLS, LIMITS
from palaestra.agents.rlm import RLMAgent, RLMConfig
from palaestra.core.budget import Budget
from palaestra.core.chat import Completion, Message, Sampling
from palaestra.core.errors import ContextTooLong, ModelUnreachable
from palaestra.core.task import ContextFile, Task
from palaestra.core.usage import Usage
from palaestra.sandbox.base import CellLimits

AGENT = RLMAgent(RLMConfig())


def cell(code: str, language: str = "repl") -> str:
    return f"```{language}\n{code}\n```"


READY = cell("answer = {'content': 'done', 'ready': True}")


def test_a_question_about_a_text_is_answered_through_code_and_sub_calls(stage: Any) -> None:
    replies = [
        "Look.\n" + cell("print(len(context))\ncontext[:3]"),
        cell(
            "parts = context.split()\nupper = llm_query_batched(parts)\nprint(upper, one := llm_query('x'))"
        ),
        "Done.\n" + cell("answer = {'content': ' '.join(upper), 'ready': True}"),
    ]
    trajectory = stage.play(AGENT, replies, "ab cd ef")
    assert (trajectory.status, trajectory.answer, trajectory.reason) == ("finished", "AB CD EF", "")
    assert trajectory.usage["policy"].calls == 3
    assert trajectory.usage["sub"].calls == 4
    assert [prompt for prompt, _ in stage.asked] == ["ab", "cd", "ef", "x"]
    assert trajectory.steps[0].thought == "Look."
    assert trajectory.steps[0].actions[0].content == "print(len(context))\ncontext[:3]"
    assert trajectory.steps[0].observation.startswith("8\n[value] 'ab '")
    assert "['AB', 'CD', 'EF'] X" in stage.told(3)
    assert "[variables] parts (list of 3), upper (list of 3), one (str of 1)" in stage.told(3)


def test_the_model_is_told_the_question_the_size_and_the_turn(stage: Any) -> None:
    stage.play(AGENT, [cell("1"), READY], "x" * 1234, budget=Budget(turns=2))
    system, first = stage.conversations[0]
    assert system.role == "system"
    assert "400000 characters" in system.content
    assert "What?" in first.content
    assert "1234 characters" in first.content
    assert "Turn 1 of 2." in first.content
    assert "Turn 2 of 2.\nThis is the last one" in stage.told(2)
    assert [message.role for message in stage.conversations[1]] == ["system", "user", "assistant", "user"]


@pytest.mark.parametrize("language", ["repl", "python", "py", ""])
def test_cells_run_in_order_whatever_their_fence(stage: Any, language: str) -> None:
    reply = cell("a = 1", language) + "\n" + cell("print(a + 1)", language)
    trajectory = stage.play(AGENT, [reply, READY])
    assert trajectory.steps[0].observation.splitlines()[-2:] == ["2", "[variables] a (int)"]


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (cell("ls", "bash"), "A block marked `bash` was not run"),
        ("I think about it.", "There was no block of code"),
        ("```repl\nprint(1)", "no closing fence"),
        (cell("answer = 'done'"), "`answer` was set to a plain value"),
        (cell("answer['ready'] = True"), "`answer` is ready but has no content"),
        (cell("answer = 'x' * 2_000_000"), "`answer` is too long"),
        (cell("globals().clear()"), "destroyed the session's own names"),
        (cell("1/0"), "ZeroDivisionError: division by zero"),
        ("FINAL_VAR(nothing)", "NameError: there is no variable 'nothing'"),
    ],
)
def test_what_does_not_work_is_told_and_the_run_goes_on(stage: Any, reply: str, message: str) -> None:
    trajectory = stage.play(AGENT, [reply, READY], "text")
    assert message in stage.told(2)
    assert trajectory.answer == "done"


def test_a_destroyed_session_begins_again_and_its_variables_are_told_of(stage: Any) -> None:
    replies = [cell("kept = 1"), cell("globals().clear()"), cell("'kept' in globals(), context"), READY]
    stage.play(AGENT, replies, "text")
    assert "its variables are gone, context is there" in stage.told(3)
    assert "(False, 'text')" in stage.told(4)


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("FINAL(f(x) = (1, 2))", "f(x) = (1, 2)"),
        (cell("total = 40 + 2") + "\nFINAL_VAR(total)", "42"),
        (cell("FINAL([1, 2])"), "[1, 2]"),
        (cell("total = 7\nFINAL_VAR('total')"), "7"),
        (cell("FINAL_VAR(40 + 2)"), "42"),
        (cell("answer['content'] = 'é'\nanswer['ready'] = True"), "é"),
        (cell("FINAL('a')") + "\n" + cell("FINAL('not run')"), "a"),
    ],
)
def test_the_forms_of_an_answer(stage: Any, reply: str, answer: str) -> None:
    trajectory = stage.play(AGENT, [reply])
    assert (trajectory.status, trajectory.answer) == ("finished", answer)


def test_a_plain_answer_is_a_draft_that_can_be_made_ready(stage: Any) -> None:
    trajectory = stage.play(AGENT, [cell("answer = 'Athens'"), cell("answer['ready'] = True")])
    assert (trajectory.status, trajectory.answer) == ("finished", "Athens")


def test_reserved_names_are_put_back_after_every_cell(stage: Any) -> None:
    replies = [
        cell("context = llm_query = SHOW_VARS = FINAL = None\ndel answer, llm_query_batched\nlen = str = 3"),
        cell("SHOW_VARS()\nFINAL(llm_query(context))"),
    ]
    trajectory = stage.play(AGENT, replies, "text")
    assert trajectory.answer == "TEXT"
    assert "len: int" in trajectory.steps[1].observation


def test_a_failed_sub_call_is_one_text_among_the_answers(stage: Any) -> None:
    def sub(messages: Sequence[Message], sampling: Sampling) -> str:
        if messages[-1].content == "b":
            raise ContextTooLong("too long")
        return messages[-1].content

    trajectory = stage.play(AGENT, [cell("FINAL(llm_query_batched(['a', 'b', 'c']))")], sub=sub)
    assert trajectory.answer == "['a', '[sub-call failed] ContextTooLong: too long', 'c']"


class Meeting:
    """A model that answers nobody until so many calls are under way at the same time."""

    name = "meeting"
    context_window = None

    def __init__(self, calls: int) -> None:
        self._all_here = asyncio.Barrier(calls)

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        async with asyncio.timeout(300):
            await self._all_here.wait()
        return Completion(text=messages[-1].content, finish_reason="stop", usage=Usage(calls=1))

    async def close(self) -> None:
        pass


def test_batched_sub_calls_run_at_once_and_answer_in_order(stage: Any) -> None:
    code = "prompts = [str(n) for n in range(200)]\nFINAL(llm_query_batched(prompts) == prompts)"
    trajectory = stage.play(RLMAgent(RLMConfig(parallel=200)), [cell(code)], sub=Meeting(200))
    assert trajectory.answer == "True"


def test_a_prompt_that_is_asked_again_is_another_draw(stage: Any) -> None:
    stage.play(AGENT, [cell("llm_query_batched(['a', 'a', 'b'])\nllm_query('a')\nFINAL('x')")])
    draws = [(prompt, sampling.sample_index) for prompt, sampling in stage.asked]
    assert [prompt for prompt, _ in draws] == ["a", "a", "b", "a"]
    assert len(set(draws)) == 4


@pytest.mark.parametrize(
    ("last", "answer"),
    [
        ("From what I know: 7.", "From what I know: 7."),
        ("FINAL(7)", "7"),
        ("FINAL_VAR(total)", "8"),
        (cell("answer = {'content': total + 1, 'ready': True}"), "9"),
        ("It is 7.\n" + cell("1/0"), "It is 7."),
        (cell("1/0"), "a draft"),
        ('```json\n{"answer": 7}\n```', '```json\n{"answer": 7}\n```'),
        ("", "a draft"),
    ],
)
def test_after_the_last_turn_the_answer_is_asked_for_once_more(stage: Any, last: str, answer: str) -> None:
    replies = [cell("answer['content'] = 'a draft'\ntotal = 8"), cell("1"), last]
    trajectory = stage.play(AGENT, replies, budget=Budget(turns=2))
    assert (trajectory.status, trajectory.answer) == ("limit", answer)
    assert trajectory.reason == "budget.turns=2 is used up"
    assert trajectory.usage["policy"].calls == 3
    assert "There are no more turns" in stage.told(3)
    assert "a draft" in stage.told(3)


def test_a_budget_that_ends_inside_a_cell_keeps_the_draft_and_is_not_passed(stage: Any) -> None:
    code = "found = llm_query_batched(['a'] * 9)\nanswer['content'] = str(found.count('A')) + found[-1]"
    trajectory = stage.play(AGENT, [cell(code), "never asked"], budget=Budget(calls=5))
    assert trajectory.status == "limit"
    assert trajectory.answer == "4[sub-call failed] BudgetExceeded: budget.calls=5 is used up"
    assert trajectory.usage["policy"].calls == 1
    assert trajectory.usage["sub"].calls == 4
    assert len(stage.asked) == 4


STUBBORN = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"


@pytest.mark.parametrize(
    ("code", "told", "kept"),
    [
        ("while True: pass", "variables are there", "(True, 'text')"),
        (STUBBORN, "its variables are gone, context is there", "(False, 'text')"),
    ],
)
def test_a_cell_out_of_time_is_stopped_and_the_run_goes_on(
    stage: Any, code: str, told: str, kept: str
) -> None:
    replies = [cell("kept = 1"), cell(code), cell("'kept' in globals(), context"), READY]
    trajectory = stage.play(AGENT, replies, "text", limits=CellLimits(seconds=0.3))
    assert told in stage.told(3)
    assert kept in stage.told(4)
    assert trajectory.answer == "done"


@pytest.mark.parametrize("code", CELLS.values(), ids=CELLS)
def test_no_cell_ends_the_run_or_the_host(stage: Any, code: str) -> None:
    replies = [cell("kept = 1"), cell(code), cell("print('here')"), READY]
    trajectory = stage.play(AGENT, replies, limits=LIMITS)
    assert (trajectory.status, trajectory.answer) == ("finished", "done")
    assert trajectory.steps[2].observation.startswith("here")
    assert len(stage.told(3)) < 25_000


def test_long_results_are_cut_in_the_middle(stage: Any) -> None:
    agent = RLMAgent(RLMConfig(observation_chars=300))
    stage.play(agent, [cell("print('head' + 'x' * 5000 + 'tail')"), READY])
    assert "headxx" in stage.told(2)
    assert "xxtail" in stage.told(2)
    assert len(stage.told(2)) < 400


def test_a_model_that_fails_is_a_trajectory_with_the_reason(stage: Any) -> None:
    class Down(Meeting):
        async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
            raise ModelUnreachable("no answer; start the server")

    context = stage.context([], Down(1), Budget(), CellLimits())
    context = replace(context, models=(Down(1),))
    trajectory = asyncio.run(AGENT.run(Task(id="t", prompt="?"), context))
    assert (trajectory.status, trajectory.answer, trajectory.steps) == ("error", "", ())
    assert trajectory.reason == "ModelUnreachable: no answer; start the server"


def test_a_session_that_breaks_the_protocol_is_an_error_that_keeps_the_steps(stage: Any) -> None:
    forge = """
import os, sys
frame = sys._getframe()
while frame.f_code.co_name != "serve": frame = frame.f_back
os.write(frame.f_locals["channel"], b"x" * 64)
import time; time.sleep(5)
"""
    trajectory = stage.play(AGENT, [cell("answer['content'] = 'so far'"), cell(forge)])
    assert (trajectory.status, trajectory.answer, len(trajectory.steps)) == ("error", "so far", 1)
    assert trajectory.reason.startswith("ProtocolError: ")


def test_cancelling_keeps_what_there_is(stage: Any) -> None:
    async def body() -> None:
        begun = asyncio.Event()

        def sub(messages: Sequence[Message], sampling: Sampling) -> str:
            begun.set()
            return "yes"

        hanging = "llm_query('has it begun?')\nimport time; time.sleep(50)\nllm_query('is it over?')"
        replies = [cell("answer['content'] = 'half'"), cell(hanging)]
        context = stage.context(replies, sub, Budget(), CellLimits())
        run = asyncio.create_task(AGENT.run(Task(id="t", prompt="?"), context))
        await begun.wait()
        run.cancel()
        trajectory = await run
        assert (trajectory.status, trajectory.answer, len(trajectory.steps)) == ("cancelled", "half", 1)
        assert [prompt for prompt, _ in stage.asked] == ["has it begun?"]
        stage.check(trajectory)

    asyncio.run(body())


def test_a_context_on_disk_is_read_and_must_be_what_it_was(stage: Any, tmp_path: Path) -> None:
    file = tmp_path / "context.txt"
    file.write_bytes("é\r\nx".encode())
    context = ContextFile(path=str(file), sha256=hashlib.sha256(file.read_bytes()).hexdigest(), characters=4)
    task = Task(id="t", prompt="What?", context=context)
    assert stage.play(AGENT, [cell("FINAL(repr(context))")], task).answer == repr("é\r\nx")
    file.write_text("changed")
    trajectory = type(stage)().play(AGENT, [], task)
    assert trajectory.status == "error"
    assert "has changed since the task was made" in trajectory.reason


def test_prompts_of_ones_own_replace_those_of_the_same_name(stage: Any, tmp_path: Path) -> None:
    (tmp_path / "rlm-task.md").write_text("Mine: {{ question }} { literal } {{ context.characters }}")
    stage.play(RLMAgent(RLMConfig(prompts=str(tmp_path))), [READY], "abc")
    assert stage.told(1).startswith("Mine: What? { literal } 3")
    assert "llm_query_batched" in stage.conversations[0][0].content
