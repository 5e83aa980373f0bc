"""Prompt repetition: what is said again, and a control of the same length."""

import asyncio
import random
from collections.abc import Sequence

import pytest

from palaestra.core.chat import Message, Sampling
from palaestra.core.errors import ContextTooLong
from palaestra.models.config import ModelConfig
from palaestra.models.registry import load_model
from palaestra.models.repeated import IGNORE, RepeatedModel, Repetition, repeat
from palaestra.models.scripted import ScriptedModel
from palaestra.models.tiny import TinyConfig, TinyModel
from palaestra.models.tokens import cut_by_characters

PROMPT = "Here is a list:\n\nAda, Bela, Carla\n\nWho is second?"


def ask(repetition: Repetition, *messages: Message) -> Sequence[Message]:
    """The messages that reach the model."""
    seen: list[Message] = []

    def look(messages: Sequence[Message], sampling: Sampling) -> str:
        seen.extend(messages)
        return "Bela"

    model = RepeatedModel(ScriptedModel("scripted/look", look), repetition, cut_by_characters.count)
    asyncio.run(model.generate(messages, Sampling()))
    return seen


@pytest.mark.parametrize(
    ("repetition", "expected"),
    [
        ("none", PROMPT),
        ("repeat", f"{PROMPT}\n{PROMPT}"),
        ("verbose", f"{PROMPT}\nLet me repeat that:\n{PROMPT}"),
        (
            "three",
            f"{PROMPT}\nLet me repeat that:\n{PROMPT}\nLet me repeat that one more time:\n{PROMPT}",
        ),
        ("question", f"{PROMPT}\nWho is second?"),
    ],
)
def test_the_last_message_of_the_user_is_repeated_in_its_own_turn(
    repetition: Repetition, expected: str
) -> None:
    system = Message(role="system", content="Be brief.")
    earlier = [Message(role="user", content="Hello"), Message(role="assistant", content="Yes?")]
    shown = ask(repetition, system, *earlier, Message(role="user", content=PROMPT))
    assert shown == [system, *earlier, Message(role="user", content=expected)]


def test_a_conversation_without_a_user_stays_as_it_is() -> None:
    system = Message(role="system", content="Be brief.")
    assert ask("repeat", system) == [system]


@pytest.mark.parametrize("length", [1, 7, 40, 400])
def test_the_control_has_as_many_tokens_and_says_nothing_twice(length: int) -> None:
    draw = random.Random(length)
    prompt = " ".join(draw.choice(PROMPT.split()) for _ in range(length + 12))
    model = TinyModel.build("tiny/test", [PROMPT, "... . . .", IGNORE], TinyConfig())

    def count(text: str) -> int:
        return len(model.tokenizer.encode(text, add_special_tokens=False))

    padded, repeated = repeat(prompt, "padding", count), repeat(prompt, "repeat", count)
    assert count(padded) == count(repeated)
    assert padded.count(prompt) == 1
    assert set(padded.removeprefix(f"{prompt}\n{IGNORE}")) <= {" ", "."}
    by_characters = cut_by_characters.count
    assert by_characters(repeat(prompt, "padding", by_characters)) == pytest.approx(
        by_characters(repeated), abs=0.25
    )


def test_it_is_a_setting_of_the_model() -> None:
    model = load_model(ModelConfig(name="scripted/echo", repeat="repeat", context_window=100))
    completion = asyncio.run(model.generate([Message(role="user", content="Who?")], Sampling()))
    assert (completion.text, completion.usage.tokens_in) == ("Who?\nWho?", 3)
    long = Message(role="user", content="x" * 300)
    with pytest.raises(ContextTooLong):
        asyncio.run(model.generate([long], Sampling()))
    plain = load_model(ModelConfig(name="scripted/echo", context_window=100))
    assert asyncio.run(plain.generate([long], Sampling(max_tokens=10))).usage.tokens_in == 75


def test_a_prompt_of_one_paragraph_is_its_own_question() -> None:
    assert repeat("Who?", "question", len) == "Who?\nWho?"
