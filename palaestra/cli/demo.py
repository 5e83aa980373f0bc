"""`palaestra demo`: the whole flow on this machine, in a few minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

import typer

from palaestra import configs
from palaestra.agents.runner import RunConfig
from palaestra.arena.bracket import render
from palaestra.arena.group import Group
from palaestra.arena.replay import replay
from palaestra.arena.topologies.single_elimination import SingleElimination
from palaestra.cli.launch import Verb, carry_out
from palaestra.cli.options import RUNS, Display, DisplayKind, Out
from palaestra.cli.run import VERB as RUN
from palaestra.cli.text import describe
from palaestra.cli.train import VERB as TRAIN
from palaestra.core.config import VerbConfig, resolve
from palaestra.core.events import JudgementGiven, TaskLoaded, TrajectoryFinished, UpdateDone
from palaestra.datasets.documents import keep
from palaestra.datasets.stdlib import QUESTION, as_document, read_stdlib
from palaestra.store.run_store import RunStore
from palaestra.training.config import TrainConfig
from palaestra.training.evaluation import BASELINE

C = TypeVar("C", bound=VerbConfig)

RECIPE = Path(configs.__file__).with_name("trip-arenarl.yaml")
WINS, WINS_AT_LEAST = 0.70, 0.60
"""The win rate that training must reach, and the least that its 95 % interval may hold."""


def demo(
    seed: Annotated[int, typer.Option(help="Every random choice follows from it.")] = 0,
    out: Out = RUNS,
    display: Display = "auto",
) -> None:
    """Run, judge and train on this machine, without a key.

    A recursive language model answers a question about the Python standard library, a tiny policy's plans
    play a tournament, and training on such tournaments makes the plans better. Exit code 3 when the answer
    is wrong or training did not help.
    """
    right = show_run(out, seed, display)
    training = _carry_out(TRAIN, resolve(TrainConfig, RECIPE, [f"seed={seed}"]), out, display)
    show_bracket(training)
    better = show_training(training)
    print(f"\nThe runs are in {out}/. Next, look into the training:\n\n  palaestra show {training}")
    if not (right and better):
        raise typer.Exit(3)


def show_run(out: Path, seed: int, display: DisplayKind) -> bool:
    """Ask a recursive language model about a text of millions of tokens; check its answer."""
    _title("run", "a recursive language model reads the Python standard library")
    files = read_stdlib()
    document = keep(as_document(files), out / "contexts")
    settings = RunConfig(seed=seed, model="scripted/code-census", ask=QUESTION, context=(document.path,))
    tokens = document.characters // 4
    print(f"Context:  {len(files)} files, {document.characters:,} characters, about {tokens:,} tokens")
    print(f"Question: {QUESTION}", flush=True)
    store = RunStore.open(_carry_out(RUN, settings, out, display))
    finished = store.last(TrajectoryFinished)
    store.close()
    assert finished is not None
    counted = sum(file.coroutine_functions for file in files)
    right = finished.trajectory.answer.strip() == str(counted)
    print(f"Check:    the syntax trees of the same files hold {counted}: {'right' if right else 'WRONG'}")
    return right


def show_bracket(run: Path) -> None:
    """The first tournament of a training run: plans that the policy wrote before any update."""
    _title("judge", "plans of the untrained policy in seeded single elimination, both orders judged")
    store = RunStore.open(run)
    settings = store.config(TrainConfig)
    tasks = {event.task.id: event.task for event in store.events(TaskLoaded)}
    drawn = [event for event in store.events(TrajectoryFinished) if event.group]
    contestants = [event.trajectory for event in drawn if event.group == drawn[0].group]
    task = tasks[contestants[0].task_id]
    group = Group.of(drawn[0].group, task, contestants, settings.topology, settings.seed)
    replay(group, settings.tournament, store.events(JudgementGiven))
    store.close()
    assert isinstance(group.topology, SingleElimination)
    names = {trajectory.id: f"plan {index}" for index, trajectory in enumerate(contestants)}
    print(f"{task.prompt}\n\n{render(group.topology.bracket, names)}\n")
    champion = group.topology.ranking().standings[0].contestant
    print(f"The champion, {names[champion]}:")
    print(next(trajectory.answer for trajectory in contestants if trajectory.id == champion))


def show_training(run: Path) -> bool:
    """What training changed, on requests that it never saw."""
    _title("train", "after ArenaRL on such tournaments")
    store = RunStore.open(run)
    evaluation = store.last(UpdateDone)
    answers = {event.trajectory.id: event.trajectory for event in store.events(TrajectoryFinished)}
    tasks = {event.task.id: event.task for event in store.events(TaskLoaded)}
    store.close()
    assert evaluation is not None
    after = next(each for each in answers.values() if each.id.startswith("evaluation-"))
    before = answers[f"{BASELINE}/{after.task_id}"]
    print(f"A held-out request:\n{tasks[after.task_id].prompt}\n")
    print(f"Before training:\n{before.answer}\n\nAfter training:\n{after.answer}\n")
    print(describe(evaluation))
    metrics = evaluation.metrics
    return metrics["win_rate"] >= WINS and metrics["win_rate_low"] > WINS_AT_LEAST


def _carry_out(verb: Verb[C], settings: C, out: Path, display: DisplayKind) -> Path:
    store = RunStore.create(out, verb.name, settings)
    carry_out(verb, settings, store, display)
    return store.folder


def _title(verb: str, text: str) -> None:
    print(f"\n── {verb}: {text}", flush=True)
