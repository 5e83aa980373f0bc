"""Saying the prompt more than once: Leviathan et al., "Prompt Repetition Improves Non-Reasoning LLMs"
(arXiv 2512.14982)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from palaestra.core.chat import Completion, Message, Sampling
from palaestra.models.base import Model

Repetition = Literal["none", "repeat", "verbose", "three", "padding", "question"]

AGAIN = "Let me repeat that:"
ONCE_MORE = "Let me repeat that one more time:"
IGNORE = "Ignore the periods that follow:"
ADJUSTMENTS = 20
"""Times that the number of periods is put right."""


class RepeatedModel:
    """A model whose last user message is repeated before it is asked, within the same turn.

    `count` tells the tokens of a text as the model counts.
    """

    def __init__(self, model: Model, repetition: Repetition, count: Callable[[str], float]) -> None:
        self.name = model.name
        self.context_window = model.context_window
        self._model = model
        self._repetition = repetition
        self._count = count

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        return await self._model.generate(self._repeat(messages), sampling)

    async def close(self) -> None:
        await self._model.close()

    def _repeat(self, messages: Sequence[Message]) -> Sequence[Message]:
        last = max((index for index, each in enumerate(messages) if each.role == "user"), default=None)
        if last is None:
            return messages
        content = repeat(messages[last].content, self._repetition, self._count)
        said = messages[last].model_copy(update={"content": content})
        return [*messages[:last], said, *messages[last + 1 :]]


def repeat(prompt: str, repetition: Repetition, count: Callable[[str], float]) -> str:
    """The prompt as the model gets it; `padding` has as many tokens as `repeat` and says nothing twice.

    >>> repeat("Who?", "verbose", len)
    'Who?\\nLet me repeat that:\\nWho?'
    """
    match repetition:
        case "none":
            return prompt
        case "repeat":
            return f"{prompt}\n{prompt}"
        case "verbose":
            return f"{prompt}\n{AGAIN}\n{prompt}"
        case "three":
            return f"{prompt}\n{AGAIN}\n{prompt}\n{ONCE_MORE}\n{prompt}"
        case "padding":
            return _padded(prompt, count)
        case "question":
            question = prompt.strip().rpartition("\n\n")[2]
            return f"{prompt}\n{question}"


def _padded(prompt: str, count: Callable[[str], float]) -> str:
    """Periods stand apart, since tokenizers make one token of several that do not."""

    def padded(periods: int) -> str:
        return f"{prompt}\n{IGNORE}{' .' * periods}"

    wanted = count(f"{prompt}\n{prompt}")
    periods = 0
    for _ in range(ADJUSTMENTS):
        missing = wanted - count(padded(periods))
        share = max(count(padded(periods + 100)) - count(padded(periods)), 1) / 100
        if round(missing / share) == 0:
            break
        periods = max(0, periods + round(missing / share))
    return padded(periods)
