"""What a judge is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.verdict import NoVerdict, Verdict


class Judge(Protocol):
    name: str

    async def compare(
        self, task: Task, first: Trajectory, second: Trajectory, attempt: int = 0
    ) -> Verdict | NoVerdict:
        """Compare two trajectories, shown in this order. `attempt` counts repeated asks for the same pair.

        An answer that cannot be read is a NoVerdict.

        Raises:
            ModelError: the judge's model did not answer at all (wrong key, no connection).
        """
        ...


@runtime_checkable
class GroupJudge(Judge, Protocol):
    """A judge that looks at all contestants of a group at once."""

    def meet(self, task: Task, contestants: Sequence[Trajectory]) -> None:
        """Whom the pairs to come are drawn from. Told once, before the first of them is asked."""
        ...

    def leave(self, task: Task, contestants: Sequence[Trajectory]) -> None:
        """No pair of these is asked any more."""
        ...
