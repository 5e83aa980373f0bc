"""The judgements of a run, in the form of public judgement sets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from palaestra.core.events import JudgementGiven, TaskLoaded, TrajectoryFinished
from palaestra.core.trajectory import Trajectory
from palaestra.core.verdict import Verdict
from palaestra.datasets.judgements.group import JudgedGroup, RecordedVote
from palaestra.store.run_store import RunStore

_SIDES = {"first": "a", "second": "b", "tie": "tie"}


def judgements_of(store: RunStore) -> Iterator[JudgedGroup]:
    """Every judged group of a run. A candidate is called like its agent, or by its id where agents repeat."""
    tasks = {event.task.id: event.task for event in store.events(TaskLoaded)}
    known = {event.trajectory.id: event.trajectory for event in store.events(TrajectoryFinished)}
    given: dict[str, list[JudgementGiven]] = defaultdict(list)
    for event in store.events(JudgementGiven):
        given[event.group].append(event)
    for group, events in given.items():
        names = _names([known[id] for id in {id: None for e in events for id in (e.first, e.second)}])
        task = tasks[known[events[0].first].task_id]
        yield JudgedGroup(
            group=group,
            prompt=task.prompt,
            candidates={name: known[id].answer for id, name in names.items()},
            votes=tuple(_vote(event, names) for event in events),
            reference=task.reference,
        )


def _names(contestants: list[Trajectory]) -> dict[str, str]:
    agents = [each.agent for each in contestants]
    unique = len(set(agents)) == len(agents)
    return {each.id: each.agent if unique else each.id for each in contestants}


def _vote(event: JudgementGiven, names: dict[str, str]) -> RecordedVote:
    verdict = event.judgement if isinstance(event.judgement, Verdict) else None
    return RecordedVote.model_validate(
        {
            "a": names[event.first],
            "b": names[event.second],
            "winner": verdict and _SIDES[verdict.winner],
            "judge": event.judge,
            "source": "human" if event.judge == "human" else "model",
            "first_shown": "a",
            "scores": verdict and verdict.scores,
            "tokens": event.judgement.usage.tokens,
        }
    )
