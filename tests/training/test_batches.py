"""Groups whose rewards agree: others are drawn in their place, or nothing is learnt."""

from pathlib import Path

from palaestra.core.events import RunFinished, StepSkipped, TrajectoryFinished
from tests.training.runs import BASE, Run, differ, updates


def test_steps_that_teach_nothing_are_recorded_with_the_reason(run: Run, start: Path) -> None:
    """A plan of one token is worth nothing, so that all groups are uniform."""
    store = run(
        objective="dapo",
        reward="utility",
        rollout=BASE["rollout"] | {"max_tokens": 1},
        evaluation={"tasks": 1},
    )
    skipped = list(store.events(StepSkipped))
    assert [event.step for event in skipped] == [1, 2]
    told = "the objective kept none of 12 samples: the rewards of every group were equal"
    assert skipped[0].reason == told
    finished = store.last(RunFinished)
    assert finished is not None
    assert finished.reason == f"2 of 2 steps were skipped: {told}; the policy is what it was"
    assert not differ(start, store.folder / "checkpoints" / "step-000002")
    store.close()


def test_a_run_of_which_some_steps_taught_nothing_is_done_and_says_so(run: Run) -> None:
    stages = [{"steps": 1, "max_tokens": 1}, {"steps": 1}]
    store = run(objective="dapo", reward="utility", stages=stages, evaluation={"tasks": 1})
    finished = store.last(RunFinished)
    assert finished is not None
    assert finished.status == "done"
    assert finished.reason.startswith("1 of 2 steps were skipped: ")
    assert "what it was" not in finished.reason
    store.close()


def test_uniform_groups_are_replaced_by_others(run: Run) -> None:
    """Many plans of a few tokens are worth the same."""
    rollout = BASE["rollout"] | {"group_size": 2, "tasks_per_step": 24, "max_tokens": 2}
    store = run(reward="utility", objective="dapo", rollout=rollout, refills=3, steps=1)
    (update,) = updates(store)
    groups = {event.group for event in store.events(TrajectoryFinished) if event.group.startswith("step-1/")}
    assert update.metrics["uniform_groups"] > 0
    assert len(groups) in (48, 72, 96), "no batch was drawn in their place"
    store.close()
