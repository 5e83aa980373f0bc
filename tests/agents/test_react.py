from collections.abc import Sequence
from typing import Any

import pytest

from palaestra.agents.context_tools import ContextTools
from palaestra.agents.react import ReactAgent, ReactConfig
from palaestra.agents.react_turns import Move, read_move
from palaestra.core.budget import Budget
from palaestra.core.task import Task

AGENT = ReactAgent(ReactConfig())
FINISH = "Thought: I know.\nAction: finish[Athens]"


@pytest.mark.parametrize(
    ("text", "move"),
    [
        ("Thought: Where?\nAction: search[the city]", Move("Where?", "search", "the city")),
        ("Thought 3: Where?\nAction 3: Search[a]", Move("Where?", "Search", "a")),
        ("Action: finish[]", Move("", "finish", "")),
        ("Two\nlines.\nAction: python[x = [1]\nx[0]]\n", Move("Two\nlines.", "python", "x = [1]\nx[0]")),
        ("Thought: a\nAction: read[1]\nThought: b\nAction: read[2]", Move("a", "read", "1")),
        ("Thought: no action here", Move("no action here", "", "")),
        ("Thought: a\nAction: search the city", Move("a", "", "")),
    ],
)
def test_reading_a_move(text: str, move: Move) -> None:
    assert read_move(text) == move


def test_looking_up_computing_and_finishing(stage: Any) -> None:
    replies = [
        "Thought: Find it.\nAction: search[capital]",
        "Thought: Read on.\nAction: read[4]",
        "Thought: Count.\nAction: python[n = len(context)\nn]",
        FINISH,
    ]
    trajectory = stage.play(AGENT, replies, "The Capital is Athens.")
    assert (trajectory.status, trajectory.answer) == ("finished", "Athens")
    assert [step.thought for step in trajectory.steps] == ["Find it.", "Read on.", "Count.", "I know."]
    assert [step.actions[0].name for step in trajectory.steps] == ["search", "read", "python", ""]
    assert [step.actions[0].kind for step in trajectory.steps] == ["tool", "tool", "tool", "answer"]
    assert stage.told(2) == "Observation: 1 places:\n[4] The Capital is Athens."
    assert stage.told(3) == "Observation: Capital is Athens."
    assert stage.told(4) == "Observation: [value] 22\n[variables] context (str of 22), n (int)"
    system = stage.conversations[0][0].content
    for signature in ("search(query: str) -> str", "read(position: int) -> str", "python(code: str) -> str"):
        assert f"`{signature}`" in system


def test_a_model_that_never_finishes_takes_exactly_its_turns_and_has_no_answer(stage: Any) -> None:
    trajectory = stage.play(AGENT, ["Thought: On.\nAction: read[0]"] * 8, "text", budget=Budget(turns=7))
    assert (trajectory.status, trajectory.answer, len(trajectory.steps)) == ("limit", "", 7)
    assert trajectory.usage["policy"].calls == 7


def test_a_message_without_an_action_costs_a_second_call_for_the_action_alone(stage: Any) -> None:
    trajectory = stage.play(AGENT, ["Thought: Hm.\nMore.", "Action: read[0]", FINISH], "text")
    assert trajectory.steps[0].thought == "Hm."
    assert trajectory.steps[0].observation == "text"
    assert trajectory.steps[0].usage.calls == 2
    assert "Write the action alone" in stage.told(2)
    assert trajectory.usage["policy"].calls == 3


def test_what_still_cannot_be_read_and_unknown_tools_are_observations_that_cost_a_turn(stage: Any) -> None:
    replies = ["Hm.", "Still nothing.", "Action: fly[home]", FINISH]
    trajectory = stage.play(AGENT, replies, "text")
    assert trajectory.steps[0].observation.startswith("No action could be read.\nUse one of: search, read, ")
    assert trajectory.steps[0].actions == ()
    assert "There is no tool `fly`." in trajectory.steps[1].observation
    assert len(trajectory.steps) == 3


def test_the_model_never_writes_its_own_observation(stage: Any) -> None:
    made_up = "Thought: a\nAction: read[0]\nObservation: made up\nThought: b\nAction: finish[made up]"
    trajectory = stage.play(AGENT, [made_up, FINISH], "text")
    assert trajectory.answer == "Athens"
    assert "made up" not in "".join(message.content for message in stage.conversations[1])


def test_tools_of_ones_own_are_typed_functions(stage: Any) -> None:
    def add(first: int, second: int) -> int:
        """Add two numbers."""
        return first + second

    async def shout(text: str) -> str:
        return text.upper()

    def broken(text: str) -> str:
        raise LookupError(f"no {text}")

    agent = ReactAgent(ReactConfig(observation_chars=200), {"add": add, "shout": shout, "broken": broken})
    replies = [
        'Action: add[{"first": 1, "second": 41}]',
        'Action: add[{"first": "one", "second": 1}]',
        "Action: shout[a]",
        "Action: broken[b]",
        f"Action: shout[{'x' * 900}]",
        FINISH,
    ]
    steps = stage.play(agent, replies, Task(id="t", prompt="What?")).steps
    assert steps[0].observation == "42"
    assert steps[1].observation.startswith("add failed: ValidationError")
    assert steps[2].observation == "A"
    assert steps[3].observation == "broken failed: LookupError: no b"
    assert len(steps[4].observation) <= 200
    system = stage.conversations[0][0].content
    assert "- `add(first: int, second: int) -> int`: Add two numbers." in system
    assert "search(" not in system


def test_the_text_of_an_only_parameter_may_be_json(stage: Any) -> None:
    replies = [
        'Action: search[{"id": 7}]',
        'Action: search[{"query": "seven"}]',
        "Action: search[{}]",
        FINISH,
    ]
    steps = stage.play(AGENT, replies, 'x {"id": 7} is seven, and {} nothing').steps
    assert [step.observation.splitlines()[1].partition("]")[0] for step in steps[:3]] == ["[2", "[15", "[26"]


def test_python_keeps_its_variables_and_survives_a_cell_that_ends_it(stage: Any) -> None:
    replies: Sequence[str] = [
        "Action: python[n = 41]",
        "Action: python[n + 1]",
        "Action: python[import os; os._exit(3)]",
        "Action: python['n' in globals(), context]",
        FINISH,
    ]
    steps = stage.play(AGENT, replies, "text").steps
    assert "[value] 42" in steps[1].observation
    assert "ended itself with status 3" in steps[2].observation
    assert "(False, 'text')" in steps[3].observation


def test_search_and_read_over_a_long_context() -> None:
    tools = ContextTools("needle " * 12 + "x" * 10_000 + " Needle")
    assert tools.search("NEEDLE").startswith("13 places:\n[0] needle needle")
    assert tools.search("NEEDLE").count("\n") == 10
    assert tools.search("(") == "'(' does not occur in the context."
    assert tools.search("") == "The query is empty."
    assert len(tools.read(0)) == 4_000
    assert tools.read(-5) == tools.read(0)
    assert tools.read(99_999) == "The context ends at position 10091."
