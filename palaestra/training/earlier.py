"""What earlier starts of a training run have left in its store."""

from __future__ import annotations

from collections.abc import Iterator

from palaestra.core.events import (
    CheckpointSaved,
    Event,
    JudgementGiven,
    RankingMade,
    Sink,
    StepSkipped,
    TaskLoaded,
    TrajectoryFinished,
    UpdateDone,
)
from palaestra.core.trajectory import Trajectory
from palaestra.store.run_store import RunStore


class Earlier:
    """As much of it as the rest of the run needs: steps that the checkpoint covers are left out."""

    def __init__(self, store: RunStore) -> None:
        saved = store.last(CheckpointSaved)
        self._step = saved.step if saved else 0
        self._store = store

    def trajectories(self) -> dict[str, Trajectory]:
        """By id."""
        events = self._store.events(TrajectoryFinished)
        return {
            event.trajectory.id: event.trajectory for event in events if self._is_ahead(event.trajectory.id)
        }

    def tasks(self) -> set[str]:
        """Ids of the tasks that were written."""
        return {event.task.id for event in self._store.events(TaskLoaded)}

    def judgements(self) -> Iterator[JudgementGiven | RankingMade]:
        judgements, rankings = self._store.events(JudgementGiven), self._store.events(RankingMade)
        yield from (event for event in judgements if self._is_ahead(event.group))
        yield from (event for event in rankings if self._is_ahead(event.group))

    def win_rates(self) -> dict[int, float]:
        """Against the start policy, by the step that was evaluated."""
        updates = (event for event in self._store.events(UpdateDone) if event.phase == "evaluation")
        return {event.step: event.metrics["win_rate"] for event in updates if event.step <= self._step}

    def without_repeats(self, emit: Sink) -> Sink:
        """Passes events on, but for steps and evaluations that are done once more after the checkpoint."""
        done = {_done(event) for event in self._store.events(UpdateDone)}
        done |= {_done(event) for event in self._store.events(StepSkipped)}

        def emit_once(event: Event) -> None:
            if not (isinstance(event, UpdateDone | StepSkipped) and _done(event) in done):
                emit(event)

        return emit_once

    def _is_ahead(self, name: str) -> bool:
        """Whether a group or trajectory is of a later step, or of no step: the baseline or an evaluation."""
        kind, _, rest = name.partition("-")
        return kind != "step" or int(rest.partition("/")[0]) > self._step


def _done(event: UpdateDone | StepSkipped) -> tuple[str, int]:
    return (event.phase if isinstance(event, UpdateDone) else event.kind), event.step
