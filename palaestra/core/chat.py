"""The conversation with a language model: what goes in and what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from palaestra.core.record import Record, derive_seed
from palaestra.core.usage import Usage


class ToolSpec(Record):
    """A tool as a model is told of it."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON schema of an object with the arguments by name."""


class ToolCall(Record):
    """A model's wish that a tool be called."""

    id: str
    name: str
    arguments: str
    """JSON, as the model wrote it."""


class Message(Record):
    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    """Of an assistant, with native tool calling."""
    answers_call: str = ""
    """The id of the call whose result a message of the role `tool` is."""


class Sampling(Record):
    """How to draw a completion."""

    temperature: float = Field(default=1.0, ge=0)
    """0 is greedy."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1)
    """Generated tokens at most; None leaves it to the backend."""
    stop: tuple[str, ...] = ()
    """The text ends before the first of these."""
    seed: int | None = None
    """None asks for none; a backend that has no seeds ignores it."""
    sample_index: int = 0
    """Tells apart repeated draws for one prompt, in the response cache too."""
    tools: tuple[ToolSpec, ...] = ()
    """What the model may call natively. A backend without native tool calling refuses them."""
    json_schema: Mapping[str, Any] | None = None
    """The text should be JSON of this schema; a backend that cannot hold a model to one ignores it."""

    @property
    def draw_seed(self) -> int | None:
        """The seed of this very draw: `seed` for the first, one of its own for each further one."""
        if self.seed is None or self.sample_index == 0:
            return self.seed
        return derive_seed(self.seed, self.sample_index)


class TokenTrace(Record):
    """The sampler's own account of a generation, never re-tokenised.

    Concatenated over the turns of a trajectory: `ids`, `log_probs` and `mask` have one entry for each
    token of the final sequence.
    """

    ids: tuple[int, ...]
    log_probs: tuple[float, ...]
    """Log-probability under the sampling distribution (temperature included); 0 where not generated."""
    mask: tuple[bool, ...]
    """True on generated tokens, False on prompt and tool output."""


class Completion(Record):
    text: str
    finish_reason: Literal["stop", "length"]
    tool_calls: tuple[ToolCall, ...] = ()
    """What the model wants called before it goes on."""
    usage: Usage
    trace: TokenTrace | None = None
    """Prompt and generation as token ids; None where the backend does not tell."""
    cached: bool = False
    """Read from the response cache: nothing was asked, `usage` tells what it cost at the time."""
