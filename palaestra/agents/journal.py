"""What a trajectory leaves behind turn by turn, so that another process can go on with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from palaestra.core.events import StepTaken
from palaestra.core.trajectory import Trajectory


class Journal(Protocol):
    """The steps of a trajectory are events; its variables are kept beside them, the latest of each alone."""

    def steps(self, trajectory_id: str) -> Sequence[StepTaken]:
        """The steps that earlier processes took in this trajectory, in order."""
        ...

    def child(self, trajectory_id: str) -> Trajectory | None:
        """A sub-trajectory that finished in an earlier process."""
        ...

    def keep(self, trajectory_id: str, step: int, session: bytes) -> str:
        """Store the variables as they are after a step, durably; the name by which `session` finds them.

        Those of the step before are kept as well, until there is a third: the event that names the new ones
        is written after them.
        """
        ...

    def session(self, name: str) -> bytes:
        """
        Raises:
            StoreError: they are no longer there.
        """
        ...

    def forget(self, trajectory_id: str) -> None:
        """Remove the variables of a trajectory whose end is recorded, and for the root those of its tree."""
        ...
