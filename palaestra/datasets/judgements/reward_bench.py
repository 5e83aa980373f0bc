"""RewardBench (2403.13787) and RewardBench 2 (2506.01937): good answers and bad ones to the same prompt."""

from __future__ import annotations

from itertools import combinations, product

from pydantic import BaseModel

from palaestra.datasets.judgements.group import JudgedGroup, RecordedVote


class RewardBenchPrompt(BaseModel):
    """A row: every chosen answer beats every rejected one, and the chosen ones are worth the same."""

    id: int | str
    prompt: str
    chosen: str | list[str]
    rejected: str | list[str]

    def group(self) -> JudgedGroup:
        good, bad = _named("chosen", self.chosen), _named("rejected", self.rejected)
        wins = [
            RecordedVote(a=a, b=b, winner="a", judge="label", source="label") for a, b in product(good, bad)
        ]
        ties = [
            RecordedVote(a=a, b=b, winner="tie", judge="label", source="label")
            for a, b in combinations(good, 2)
        ]
        return JudgedGroup(
            group=str(self.id), prompt=self.prompt, candidates=good | bad, votes=(*wins, *ties)
        )


def _named(kind: str, answers: str | list[str]) -> dict[str, str]:
    answers = [answers] if isinstance(answers, str) else answers
    return {f"{kind}-{number}": answer for number, answer in enumerate(answers, 1)}
