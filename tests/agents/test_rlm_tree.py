"""Recursion: children with sessions of their own, one budget over the tree, results in order."""

import asyncio
import json
import re
from collections.abc import Callable, Mapping, Sequence

import pytest

from palaestra.agents.base import AgentContext
from palaestra.agents.rlm import RLMAgent, RLMConfig
from palaestra.core.budget import Budget, Meter
from palaestra.core.chat import Completion, Message, Sampling
from palaestra.core.errors import ContextTooLong
from palaestra.core.events import CallMade, ChildFinished, Event
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.usage import Usage, total
from palaestra.sandbox.registry import SandboxConfig, sandbox_factory

AGENT = RLMAgent(RLMConfig())


def cell(code: str) -> str:
    return f"```repl\n{code}\n```"


class Actor:
    """A model that answers by what its prompt says, and remembers what it was asked."""

    def __init__(self, name: str, answer: Callable[[str], str], seconds: float = 0.0) -> None:
        self.name = name
        self.context_window: int | None = None
        self.heard: list[str] = []
        self.most_at_once = 0
        self._under_way = 0
        self._answer = answer
        self._seconds = seconds

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        self._under_way += 1
        self.most_at_once = max(self.most_at_once, self._under_way)
        await asyncio.sleep(self._seconds)
        self._under_way -= 1
        self.heard.append(messages[-1].content)
        text = self._answer(messages[-1].content)
        return Completion(text=text, finish_reason="stop", usage=Usage(calls=1, tokens_in=10, tokens_out=2))

    async def close(self) -> None:
        pass


def run(
    models: Sequence[Actor],
    task: Task | None = None,
    agent: RLMAgent = AGENT,
    budget: Budget | None = None,
) -> tuple[Trajectory, list[Event], Meter]:
    events: list[Event] = []
    meter = Meter(budget or Budget(depth=2))
    context = AgentContext(
        trajectory_id="t#0",
        models=models,
        sandbox=sandbox_factory(SandboxConfig()),
        meter=meter,
        sampling=Sampling(seed=1),
        emit=events.append,
    )
    trajectory = asyncio.run(agent.run(task or Task(id="t", prompt="Root question"), context))
    return trajectory, events, meter


def child_number(text: str) -> int:
    found = re.search(r"child (\d+)", text)
    assert found
    return int(found[1])


def test_children_run_at_the_same_time_and_never_see_each_other() -> None:
    ask = "answers = rlm_query_batched([f'child {n}' for n in range(12)], [f'secret {n}' for n in range(12)])"
    root = Actor("root", lambda text: cell(f"{ask}\nFINAL('|'.join(answers))"))
    work = (
        "import os, time, pathlib\nopen('mine.txt', 'w').write(context)\nprint(context)\ntime.sleep(0.05)\n"
        "print(context)\nFINAL(pathlib.Path('mine.txt').read_text() + ' ' + str(len(os.listdir('.'))))"
    )
    child = Actor("child", lambda text: cell(work))
    trajectory, events, meter = run([root, child])
    assert trajectory.answer == "|".join(f"secret {n} 1" for n in range(12))
    assert [(each.status, each.agent) for each in trajectory.children] == [("finished", "rlm")] * 12
    for each in trajectory.children:
        (step,) = each.steps
        secret = each.answer.removesuffix(" 1")
        assert step.observation == f"{secret}\n{secret}"
    calls = [event for event in events if isinstance(event, CallMade)]
    assert [call.role for call in calls] == ["policy"] + ["sub"] * 12
    assert total(meter.usage.values()).calls == len(root.heard) + len(child.heard) == 13
    assert total(trajectory.usage.values()) == total(meter.usage.values())
    assert {event.trajectory.id for event in events if isinstance(event, ChildFinished)} == {
        child.id for child in trajectory.children
    }


def test_each_depth_has_its_own_model_and_the_last_children_ask_plain_ones() -> None:
    recurse = cell("FINAL(rlm_query('go deeper: ' + context, context + '!'))")
    models = [
        Actor("zero", lambda text: recurse),
        Actor("one", lambda text: recurse),
        Actor("two", lambda text: cell("FINAL(rlm_query('plainly', context))")),
        Actor("three", lambda text: text.upper()),
    ]
    trajectory, _, _ = run(models, Task(id="t", prompt="?", context="x"), budget=Budget(depth=3))
    assert trajectory.answer == "PLAINLY\n\nX!!"
    assert [len(model.heard) for model in models] == [1, 1, 1, 1]
    (child,) = trajectory.children
    (grandchild,) = child.children
    assert [len(node.children) for node in (trajectory, child, grandchild)] == [1, 1, 0]
    assert grandchild.id.startswith(f"{child.id}/1.")
    assert "go deeper: x" in models[1].heard[0]


def test_without_depth_there_is_nobody_to_ask() -> None:
    def answer(text: str) -> str:
        return cell("FINAL('llm_query' in globals() or 'rlm_query' in globals())")

    trajectory, _, _ = run([Actor("alone", answer)], budget=Budget(depth=0))
    assert trajectory.answer == "False"


def test_one_budget_stops_the_whole_tree_within_the_calls_under_way() -> None:
    root = Actor("root", lambda text: cell("print(rlm_query_batched([f'child {n}' for n in range(20)]))"))
    child = Actor("child", lambda text: cell("print(llm_query('again'))"), seconds=0.01)
    agent = RLMAgent(RLMConfig(parallel=4))
    trajectory, _, meter = run([root, child], agent=agent, budget=Budget(depth=2, tokens=12 * 30))
    spent = total(meter.usage.values())
    assert trajectory.status == "limit"
    assert "budget.tokens=360 is used up" in trajectory.reason
    assert 360 <= spent.tokens <= 360 + 4 * 12
    assert spent.calls == len(root.heard) + len(child.heard)
    assert {each.status for each in trajectory.children} == {"limit"}


def test_a_failed_child_is_one_answer_and_its_draft_is_told() -> None:
    root = Actor("root", lambda text: cell("FINAL(rlm_query_batched(['child 0', 'child 1']))"))

    def answer(text: str) -> str:
        if child_number(text) == 0:
            return cell("FINAL('fine')")
        return cell("answer['content'] = 'a draft'")

    trajectory, _, _ = run([root, Actor("child", answer)], budget=Budget(depth=2, turns=1))
    assert trajectory.answer == str(
        ["fine", "[sub-call failed] limit: budget.turns=1 is used up; its draft: a draft"]
    )


def test_sub_calls_and_children_are_bounded_over_the_whole_tree() -> None:
    root = Actor("root", lambda text: cell("FINAL(len(rlm_query_batched([f'child {n}' for n in range(6)])))"))

    def answer(text: str) -> str:
        if "child" in text:
            return cell("FINAL(len(llm_query_batched(['x'] * 5)))")
        return "y"

    child = Actor("child", answer, seconds=0.01)
    trajectory, _, _ = run([root, child], agent=RLMAgent(RLMConfig(parallel=3)))
    assert trajectory.answer == "6"
    assert child.most_at_once <= 3 + 3
    assert len(child.heard) == 6 + 30


def test_a_typed_answer_is_checked_and_the_model_is_told_what_is_wrong() -> None:
    schema = {
        "type": "object",
        "properties": {"count": {"type": "integer"}},
        "required": ["count"],
        "additionalProperties": False,
    }
    replies = iter(
        [
            cell("FINAL('many')"),
            cell("FINAL({'count': 'three'})"),
            cell("answer = {'content': {'count': 3}, 'ready': True}"),
        ]
    )
    root = Actor("root", lambda text: next(replies))
    trajectory, _, _ = run([root], Task(id="t", prompt="?", answer_schema=schema))
    assert (trajectory.status, json.loads(trajectory.answer)) == ("finished", {"count": 3})
    assert "The answer was not accepted: it is no JSON" in root.heard[1]
    assert "The answer was not accepted: $.count: 'three' is not of type 'integer'" in root.heard[2]


def test_no_typed_answer_ends_more_than_its_turn() -> None:
    replies = iter(
        [
            cell("FINAL('[' * 200_000)"),
            cell("kept = 1\nanswer = {'content': {(1, 2): 3}, 'ready': True}"),
            cell("FINAL({'n': kept})"),
        ]
    )
    root = Actor("root", lambda text: next(replies))
    trajectory, _, _ = run([root], Task(id="t", prompt="?", answer_schema={"type": "object"}))
    assert (trajectory.status, json.loads(trajectory.answer)) == ("finished", {"n": 1})
    assert "it is nested too deeply" in root.heard[1]
    assert "cannot be made a text" in root.heard[2]
    away = Task(id="t", prompt="?", answer_schema={"$ref": "http://127.0.0.1:1/x"})
    trajectory, _, _ = run([Actor("root", lambda text: cell("FINAL(1)"))], away)
    assert trajectory.status == "error"
    assert "refers to what is not in it" in trajectory.reason


def test_a_schema_that_is_none_is_a_clear_error() -> None:
    root = Actor("root", lambda text: cell("FINAL(1)"))
    trajectory, _, _ = run([root], Task(id="t", prompt="?", answer_schema={"type": "number?"}))
    assert trajectory.status == "error"
    assert "answer_schema of task t is no JSON schema" in trajectory.reason


@pytest.mark.parametrize(
    ("context", "code", "answer", "told"),
    [
        ({"a": "xx", "b": "yyy"}, "sorted(context.items())", "[('a', 'xx'), ('b', 'yyy')]", "'a', 'b'"),
        (("one", "", "three"), "context", "['one', '', 'three']", "`list of 3 str` with 8 characters"),
        ("plain", "context", "plain", "`str` with 5 characters"),
        (("ab",) * 300_000, "(len(context), context[-1])", "(300000, 'ab')", "`list of 300000 str`"),
    ],
)
def test_a_context_is_a_text_a_list_or_a_mapping(
    context: str | tuple[str, ...] | Mapping[str, str], code: str, answer: str, told: str
) -> None:
    conversation: list[str] = []

    class Listener(Actor):
        async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
            conversation.extend(message.content for message in messages)
            return await super().generate(messages, sampling)

    root = Listener("root", lambda text: cell(f"FINAL({code})"))
    trajectory, _, _ = run([root], Task(id="t", prompt="?", context=context))
    assert trajectory.answer == answer
    assert told in "\n".join(conversation)


def test_the_users_functions_are_called_from_cells_and_fail_there() -> None:
    def price(item: str, amount: int = 1) -> dict[str, float]:
        """What an item costs."""
        return {"total": {"tea": 2.5}[item] * amount}

    replies = iter(
        [
            cell("price('coffee')"),
            cell("price('tea', amount='x')"),
            cell("FINAL(price('tea', amount=2)['total'])"),
        ]
    )
    root = Actor("root", lambda text: next(replies))
    trajectory, _, _ = run([root], agent=RLMAgent(RLMConfig(), tools={"price": price}))
    assert trajectory.answer == "5.0"
    assert "KeyError: 'coffee'" in root.heard[1]
    assert "valid integer" in root.heard[2]


def test_a_long_conversation_is_replaced_by_a_summary_and_the_session_stays() -> None:
    lengths: list[int] = []

    class Windowed(Actor):
        async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
            lengths.append(len(messages))
            completion = await super().generate(messages, sampling)
            tokens = sum(len(message.content) for message in messages) // 4
            return completion.model_copy(update={"usage": Usage(calls=1, tokens_in=tokens)})

    turns = iter(range(100))

    def answer(text: str) -> str:
        if "replaced by your summary" in text:
            return "I keep `found`."
        turn = next(turns)
        if turn == 8:
            return cell("FINAL(found)")
        return cell(f"found = globals().get('found', 0) + 1\nprint('{'word ' * 400}')")

    root = Windowed("root", answer)
    root.context_window = 3000
    trajectory, _, _ = run([root])
    assert trajectory.answer == "8"
    compacted = [index for index, text in enumerate(root.heard) if "replaced by your summary" in text]
    assert compacted
    after = root.heard[compacted[0] + 1]
    assert "I keep `found`." in after
    assert "Root question" in after
    assert lengths[compacted[0] + 1] == 2
    assert max(lengths) < 12


def test_a_conversation_that_does_not_fit_is_summed_up_from_what_does() -> None:
    class Windowed(Actor):
        async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
            tokens = sum(len(message.content) for message in messages) // 4
            if tokens > 9_000:
                raise ContextTooLong("too long")
            completion = await super().generate(messages, sampling)
            return completion.model_copy(update={"usage": Usage(calls=1, tokens_in=tokens)})

    turns = iter(range(100))

    def answer(text: str) -> str:
        if "replaced by your summary" in text:
            return "I go on."
        turn = next(turns)
        return cell("FINAL('done')") if turn == 8 else cell("print('word ' * 3900)")

    for window in (9_000, None):
        turns = iter(range(100))
        root = Windowed("root", answer)
        root.context_window = window
        trajectory, _, _ = run([root])
        assert (trajectory.status, trajectory.answer) == ("finished", "done"), trajectory.reason
        assert any("replaced by your summary" in text for text in root.heard)


def test_cancelling_a_tree_keeps_what_there_is_and_ends_its_children() -> None:
    root = Actor("root", lambda text: cell("answer['content'] = 'so far'\nrlm_query('child 1')"))
    child = Actor("child", lambda text: cell("print(1)"), seconds=30)
    events: list[Event] = []

    async def work() -> Trajectory:
        context = AgentContext(
            "t#0",
            [root, child],
            sandbox_factory(SandboxConfig()),
            Meter(Budget(depth=2)),
            Sampling(),
            events.append,
        )
        task = asyncio.create_task(AGENT.run(Task(id="t", prompt="?"), context))
        while child.most_at_once == 0:
            await asyncio.sleep(0.01)
        task.cancel()
        return await task

    trajectory = asyncio.run(work())
    assert (trajectory.status, trajectory.children) == ("cancelled", ())
    assert child.heard == []
