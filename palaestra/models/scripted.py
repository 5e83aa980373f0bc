"""Deterministic programs that answer as a language model would, at no cost: for demos, tests, baselines."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Self

from palaestra.core.chat import Completion, Message, Sampling
from palaestra.core.errors import ConfigError, ContextTooLong
from palaestra.core.places import load
from palaestra.core.usage import Usage
from palaestra.models.config import ModelConfig
from palaestra.models.tool_calls import refuse_tools

Program = Callable[[Sequence[Message], Sampling], str]
"""The whole answer to a conversation; the same input gives the same answer."""

PROGRAMS: Mapping[str, str] = {
    "code-census": "palaestra.models.programs.code_census:code_census",
    "echo": "palaestra.models.programs.echo:echo",
    "judge": "palaestra.models.programs.judge:judge",
    "long-context": "palaestra.models.programs.longcontext.reader:reader",
    "nonsense": "palaestra.models.programs.echo:nonsense",
}
"""`scripted/<name>`, and the program behind it."""

CHARACTERS_PER_TOKEN = 4


def count_tokens(text: str) -> int:
    """One token for every four characters, rounded up: near what tokenizers make of English."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


class ScriptedModel:
    """A program that behaves as a language model: it counts tokens, stops where told, and has a window."""

    def __init__(self, name: str, program: Program, context_window: int | None = None) -> None:
        self.name = name
        self.context_window = context_window
        self._program = program

    @classmethod
    def from_config(cls, config: ModelConfig) -> Self:
        name = config.name.partition("/")[2]
        if name not in PROGRAMS:
            raise ConfigError(
                f"there is no scripted model {name!r}; choose one of {', '.join(sorted(PROGRAMS))}"
            )
        program: Program = load(PROGRAMS[name], f"the model {config.name}")
        return cls(config.name, program, config.context_window)

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        refuse_tools(self.name, sampling)
        started = time.perf_counter()
        tokens_in = sum(count_tokens(message.content) for message in messages)
        room = self._room(tokens_in, sampling.max_tokens)
        text = _before_first(sampling.stop, self._program(messages, sampling))
        finish_reason: Literal["stop", "length"] = "stop"
        if room is not None and count_tokens(text) > room:
            text, finish_reason = text[: room * CHARACTERS_PER_TOKEN], "length"
        return Completion(
            text=text,
            finish_reason=finish_reason,
            usage=Usage(
                calls=1,
                tokens_in=tokens_in,
                tokens_out=count_tokens(text),
                seconds=time.perf_counter() - started,
            ),
        )

    async def close(self) -> None:
        """There is nothing to release."""

    def _room(self, tokens_in: int, max_tokens: int | None) -> int | None:
        """Tokens that the answer may have; None is any number."""
        if self.context_window is None:
            return max_tokens
        wanted = max_tokens or 1
        if tokens_in + wanted > self.context_window:
            raise ContextTooLong(
                f"{self.name} has a window of {self.context_window} tokens; {tokens_in} in the prompt and "
                f"{wanted} to generate do not fit: shorten the prompt or lower max_tokens"
            )
        return max_tokens or self.context_window - tokens_in


def _before_first(stops: Sequence[str], text: str) -> str:
    ends = [text.index(stop) for stop in stops if stop and stop in text]
    return text[: min(ends, default=len(text))]
