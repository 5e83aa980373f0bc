from __future__ import annotations

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.core.chat import Completion, Message, Sampling
from palaestra.core.errors import ContextTooLong
from palaestra.models.config import ModelConfig
from palaestra.models.programs.echo import echo, nonsense
from palaestra.models.scripted import PROGRAMS, ScriptedModel, count_tokens


def say(text: str, sampling: Sampling, window: int | None = None) -> Completion:
    model = ScriptedModel("scripted/echo", echo, window)
    return asyncio.run(model.generate([Message(role="user", content=text)], sampling))


@given(text=st.text(), limit=st.none() | st.integers(1, 20), stop=st.sampled_from([(), ("a",), ("b", "aa")]))
def test_the_answer_is_the_programs_up_to_a_stop_and_the_limit(
    text: str, limit: int | None, stop: tuple[str, ...]
) -> None:
    completion = say(text, Sampling(max_tokens=limit, stop=stop))
    wanted = text
    for word in stop:
        wanted = wanted.split(word)[0]
    assert wanted.startswith(completion.text)
    assert (completion.text == wanted) == (completion.finish_reason == "stop")
    assert completion.usage.tokens_out == math.ceil(len(completion.text) / 4)
    if completion.finish_reason == "length":
        assert completion.usage.tokens_out == limit


def test_tokens_are_four_characters_rounded_up() -> None:
    assert [count_tokens("x" * length) for length in (0, 1, 4, 5)] == [0, 1, 1, 2]
    usage = say("x" * 9, Sampling()).usage
    assert (usage.calls, usage.tokens_in, usage.tokens_out, usage.cost) == (1, 3, 3, 0.0)


def test_prompt_and_answer_share_the_window() -> None:
    forty = "x" * 40
    assert say(forty, Sampling(), window=20).finish_reason == "stop"
    cut = say(forty, Sampling(), window=15)
    assert (cut.finish_reason, cut.usage.tokens_out) == ("length", 5)
    with pytest.raises(ContextTooLong, match="window of 10 tokens; 10 in the prompt and 1 to generate"):
        say(forty, Sampling(), window=10)
    with pytest.raises(ContextTooLong, match="6 to generate"):
        say(forty, Sampling(max_tokens=6), window=15)


def test_every_registered_program_answers_a_greeting() -> None:
    for name in PROGRAMS:
        model = ScriptedModel.from_config(ModelConfig(name=f"scripted/{name}"))
        assert model.name == f"scripted/{name}"
        completion = asyncio.run(model.generate([Message(role="user", content="Hello.")], Sampling()))
        assert completion.text


def test_echo_repeats_the_last_user_message_and_nonsense_has_nothing_to_parse() -> None:
    messages = [
        Message(role="user", content="first"),
        Message(role="user", content="second"),
        Message(role="assistant", content="third"),
    ]
    assert echo(messages, Sampling()) == "second"
    assert not set(nonsense(messages, Sampling())) & set("0123456789[]{}<>`:=#*")
