"""The two simplest programs: one that gives back what it got, one that nobody can use."""

from __future__ import annotations

from collections.abc import Sequence

from palaestra.core.chat import Message, Sampling


def echo(messages: Sequence[Message], sampling: Sampling) -> str:
    """The last thing that the user said; empty if the user said nothing."""
    return next((message.content for message in reversed(messages) if message.role == "user"), "")


def nonsense(messages: Sequence[Message], sampling: Sampling) -> str:
    """Words without a number, a verdict, a tool call or code: what a parser must refuse."""
    return "The colour of the wind has gone to market without its shoes."
