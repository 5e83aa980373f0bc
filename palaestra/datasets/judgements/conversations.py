"""The votes of MT-bench and of Chatbot Arena: two conversations, and which of them was better."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic import BaseModel

from palaestra.datasets.judgements.group import JudgedGroup, RecordedVote

_MODEL = re.compile(r"gpt|claude|gemini|llama|qwen|mistral|deepseek", re.IGNORECASE)


class _Message(BaseModel):
    role: str
    content: str


class ConversationVote(BaseModel):
    """A row of lmsys/mt_bench_human_judgments, lmsys/chatbot_arena_conversations or alike.

    MT-bench holds both turns in every row; a vote on the first turn has seen only that one.
    """

    question_id: int | str
    model_a: str
    model_b: str
    winner: str
    """model_a, model_b, tie, tie (bothbad), tie (inconsistent); anything else is an error."""
    conversation_a: list[_Message]
    conversation_b: list[_Message]
    judge: str | list[str] = "human"
    turn: int | None = None

    def group(self) -> JudgedGroup:
        turns = self.turn or len(self.conversation_a)
        other = self.model_b if self.model_b != self.model_a else f"{self.model_b} (b)"
        judge = self.judge if isinstance(self.judge, str) else " ".join(self.judge)
        winners = {"model_a": "a", "model_b": "b"}
        winner = "tie" if self.winner.startswith("tie") else winners.get(self.winner)
        vote = RecordedVote.model_validate(
            {
                "a": self.model_a,
                "b": other,
                "winner": winner,
                "judge": judge,
                "source": "model" if _MODEL.match(judge) else "human",
            }
        )
        return JudgedGroup(
            group=str(self.question_id) if self.turn in (None, 1) else f"{self.question_id}-turn-{turns}",
            prompt=_said_by("user", self.conversation_a, turns),
            candidates={
                self.model_a: _said_by("assistant", self.conversation_a, turns),
                other: _said_by("assistant", self.conversation_b, turns),
            },
            votes=(vote,),
        )


def _said_by(role: str, conversation: Sequence[_Message], turns: int) -> str:
    said = [message.content for message in conversation if message.role == role][:turns]
    if len(said) == 1:
        return said[0]
    return "\n\n".join(f"[turn {number}]\n{text}" for number, text in enumerate(said, 1))
