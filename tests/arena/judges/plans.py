"""Plans to be judged, and ways to ask a judge about them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from palaestra.arena.judges.base import Judge
from palaestra.core.chat import Message, Sampling
from palaestra.core.errors import ModelError
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.verdict import NoVerdict, Verdict
from palaestra.models.config import ModelConfig
from palaestra.models.programs.judge import judge as competent
from palaestra.models.scripted import Program, ScriptedModel

MODEL = ModelConfig(name="scripted/test")
TASK = Task(
    id="t", prompt="Plan an evening in Porto with a garden, a concert and a dinner.", reference="Serralves."
)
PLACES = ["Serralves", "Casa", "Musica", "Bolhao", "Foz", "Ribeira", "Gaia", "Matosinhos"]
PLANS = [
    f"In the evening a garden, a concert, a dinner, then {', '.join(PLACES[:known])}."
    for known in range(1, 9)
]
"""From poor to good, each with one particular more than the one before."""


def answer(text: str, id: str) -> Trajectory:
    return Trajectory(id=id, task_id="t", agent=id, status="finished", answer=text)


GROUP = [answer(plan, f"plan-{number}") for number, plan in enumerate(PLANS)]


class Listener:
    """A program that remembers the requests and answers as another one does."""

    def __init__(self, program: Program = competent) -> None:
        self.requests: list[str] = []
        self._program = program

    def __call__(self, messages: Sequence[Message], sampling: Sampling) -> str:
        self.requests.append(messages[1].content)
        return self._program(messages, sampling)


def scripted(program: Program) -> ScriptedModel:
    return ScriptedModel("scripted/test", program)


def ask(judge: Judge, pairs: Sequence[tuple[Trajectory, Trajectory]], attempt: int = 0) -> list[Verdict]:
    async def all_at_once() -> list[Verdict | NoVerdict]:
        return list(await asyncio.gather(*(judge.compare(TASK, *pair, attempt) for pair in pairs)))

    verdicts = asyncio.run(all_at_once())
    assert all(isinstance(verdict, Verdict) for verdict in verdicts), verdicts
    return verdicts  # type: ignore[return-value]


def refuse(judge: Judge, task: Task = TASK, attempt: int = 0) -> NoVerdict:
    judgement = asyncio.run(judge.compare(task, GROUP[0], GROUP[1], attempt))
    assert isinstance(judgement, NoVerdict)
    return judgement


class Fixed:
    """A judge that always says the same."""

    def __init__(self, name: str, says: tuple[float, float] | str | ModelError) -> None:
        self.name = name
        self._says = says

    async def compare(
        self, task: Task, first: Trajectory, second: Trajectory, attempt: int = 0
    ) -> Verdict | NoVerdict:
        if isinstance(self._says, ModelError):
            raise self._says
        return (
            NoVerdict(reason=self._says) if isinstance(self._says, str) else Verdict.from_scores(*self._says)
        )
