"""Test-time self-distillation: what sampling alone would not find in the same number of attempts."""

import asyncio
import copy
import math
import random
from pathlib import Path

import pytest

from palaestra.cli.discover import print_discoveries
from palaestra.core.chat import TokenTrace
from palaestra.core.config import validate
from palaestra.core.errors import ConfigError
from palaestra.core.events import Event, StepSkipped, TrajectoryFinished, UpdateDone, discard
from palaestra.core.task import Task
from palaestra.models.tiny import TinyConfig, TinyModel
from palaestra.store.run_store import RunStore
from palaestra.training.discovery import (
    Discovery,
    DiscoveryConfig,
    Verifier,
    check,
    discover,
    discover_all,
    discoveries,
    discovery_at,
)
from palaestra.training.objectives.self_teacher import reprompt
from palaestra.training.objectives.sft import SFT
from palaestra.training.optimizer import OptimizerConfig
from palaestra.training.rollouts import Rollouts, conversation
from palaestra.training.samples import Sample
from palaestra.training.updater import Updater
from tests.training.answers import log_prob

WORDS = ("red", "blue", "green", "white", "black", "brown", "grey", "pink")
TASK = Task(id="colour", prompt="Which colour?")
CONFIG = DiscoveryConfig.model_validate(
    {
        "policy": "hf/unused",
        "family": "countdown",
        "rounds": 8,
        "rollout": {"max_tokens": 4, "show_context": False, "group_size": 16},
        "teacher": {"rate": 0.05},
        "optimizer": {"learning_rate": 1e-3, "weight_decay": 0.0},
    }
)


class Colour(Verifier):
    """Knows which colour it is, and tells of the others that they are not."""

    def utility(self, task: Task, answer: str) -> float:
        return float(answer == "pink")

    def remark(self, task: Task, answer: str) -> str:
        return f"It is not {answer}."


class Generous(Colour):
    def utility(self, task: Task, answer: str) -> float:
        return 0.5


class Silent(Colour):
    def remark(self, task: Task, answer: str) -> str:
        return ""


def answered(policy: TinyModel, prompt: str, answer: str) -> Sample:
    before = policy.encode(conversation(TASK.model_copy(update={"prompt": prompt}), show_context=False))
    after = [*policy.tokenizer.encode(answer), policy.tokenizer.eos_token_id]
    length = len(before) + len(after)
    mask = (False,) * len(before) + (True,) * len(after)
    trace = TokenTrace(ids=(*before, *after), log_probs=(0.0,) * length, mask=mask)
    return Sample(trace, sampled=False)


@pytest.fixture(scope="module")
def stubborn() -> TinyModel:
    """Says red, unless it is told what it is not: then any of the others."""
    told = {word: reprompt(TASK.prompt, feedback=Colour().remark(TASK, word)) for word in WORDS}
    corpus = [TASK.prompt, *WORDS, *(text for text in told.values() if text)]
    config = TinyConfig(vocabulary=340, hidden=32, layers=2, heads=2, feed_forward=64, window=256)
    policy = TinyModel.build("tiny/stubborn", corpus * 5, config, device="cpu", seed=3)
    examples = [answered(policy, TASK.prompt, "red")] * 56
    examples += [
        answered(policy, text, other)
        for word, text in told.items()
        if text
        for other in WORDS
        if other != word
    ]
    updater = Updater(policy.module, SFT(), OptimizerConfig(learning_rate=5e-3, weight_decay=0.0), steps=150)
    draw = random.Random(1)
    for _ in range(150):
        updater.update(draw.sample(examples, 24))
    return policy


def search(
    stubborn: TinyModel, verifier: Verifier, seed: int, config: DiscoveryConfig = CONFIG
) -> tuple[Discovery, list[Event]]:
    policy = TinyModel("tiny/one", copy.deepcopy(stubborn.module), stubborn.tokenizer)
    seen: list[Event] = []
    rollouts = Rollouts(policy, config.rollout, seed, discard, known={})
    return asyncio.run(discover(TASK, policy, verifier, config, rollouts, seen.append)), seen


def test_it_finds_what_independent_samples_would_not(stubborn: TinyModel) -> None:
    budget = CONFIG.rounds * CONFIG.rollout.group_size
    probability = math.exp(log_prob(stubborn, answered(stubborn, TASK.prompt, "pink")))
    assert 1 - (1 - probability) ** budget < 0.1, "as many independent samples would do"
    for seed in range(3):
        found, seen = search(stubborn, Colour(), seed)
        assert found.attempts is not None
        assert 16 < found.attempts <= found.drawn <= budget
        assert sum(isinstance(event, UpdateDone) for event in seen) == found.drawn // 16 - 1


def test_without_remarks_there_is_nothing_to_learn_from(stubborn: TinyModel) -> None:
    found, seen = search(stubborn, Silent(), seed=0)
    assert found == Discovery(None, CONFIG.rounds * 16)
    assert len(seen) == CONFIG.rounds - 1
    assert all(isinstance(event, StepSkipped) for event in seen)


def test_what_is_half_right_is_wrong_and_remarked_on(stubborn: TinyModel) -> None:
    found, seen = search(stubborn, Generous(), seed=0, config=changed(rounds=2))
    assert found == Discovery(None, 32)
    assert [type(event) for event in seen] == [UpdateDone]


@pytest.mark.parametrize("kind", ["frozen", "trust-region", "current"])
def test_any_self_teacher_will_do(stubborn: TinyModel, kind: str) -> None:
    _, seen = search(stubborn, Colour(), seed=0, config=changed(rounds=2, teacher={"kind": kind}))
    assert [type(event) for event in seen] == [UpdateDone]


def test_a_greedy_attempt_is_no_sample_of_the_policy(stubborn: TinyModel) -> None:
    """Its log-probabilities are those of temperature 1."""
    greedy = {"greedy_anchor": True, "group_size": 2, "temperature": 3.0}
    _, seen = search(
        stubborn,
        Colour(),
        seed=0,
        config=changed(rounds=2, rollout={**CONFIG.rollout.model_dump(), **greedy}),
    )
    (update,) = seen
    assert isinstance(update, UpdateDone)
    assert update.metrics["sampler_gap_max"] < 1e-3


def changed(**changes: object) -> DiscoveryConfig:
    return validate(DiscoveryConfig, {**CONFIG.model_dump(), **changes}, source="test")


def test_a_setting_leaves_the_others_as_they_are_in_the_paper() -> None:
    settings = {"policy": "hf/x", "family": "countdown"}
    groups = {"objective": {"cap": 3.0}, "teacher": {"success": 0.5}, "rollout": {"max_tokens": 8}}
    config = validate(DiscoveryConfig, settings | groups, source="test")
    assert (config.objective.divergence, config.objective.candidates) == ("reverse", 20)
    assert config.teacher.rate == 0.01
    assert (config.rollout.group_size, config.rollout.temperature) == (16, 1.0)


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ({"kind": "model", "model": "hf/other"}, "no self-teacher"),
        ({"success": 0.9}, "leave teacher.success"),
    ],
)
def test_a_teacher_that_reads_no_remarks_is_refused(teacher: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        changed(teacher=teacher)


def test_a_family_whose_verifier_says_nothing_is_refused() -> None:
    check(CONFIG)
    with pytest.raises(ConfigError, match="makes no remarks"):
        check(changed(family="trip"))
    check(changed(family="trip", rounds=1))


def test_the_share_of_tasks_that_so_many_attempts_solve() -> None:
    found = [Discovery(3, 16), Discovery(17, 32), Discovery(None, 64), Discovery(1, 16)]
    assert [discovery_at(k, found) for k in (1, 2, 3, 16, 17, 64)] == [0.25, 0.25, 0.5, 0.5, 0.75, 0.75]


class Interrupted(Exception):
    pass


def test_a_run_starts_every_task_from_the_same_policy_and_goes_on_exactly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = ["Make 7 of these numbers, each used at most once: 1,2,3.", "1+2*3"] * 20
    window = TinyConfig(vocabulary=300, hidden=32, layers=2, heads=2, feed_forward=64, window=512)
    TinyModel.build("tiny/start", corpus, window, device="cpu").save(tmp_path / "start")
    settings = {
        "policy": {"name": f"hf/{tmp_path}/start", "device": "cpu"},
        "family": "countdown",
        "tasks": 2,
        "rounds": 3,
        "rollout": {"group_size": 4, "max_tokens": 6},
        "optimizer": {"learning_rate": 1e-2},
    }
    config = validate(DiscoveryConfig, settings, source="test")
    whole, cut = (RunStore.create(tmp_path / name, "discover", config) for name in ("whole", "cut"))
    assert asyncio.run(discover_all(config, whole, whole.write)).status == "done"

    def stop(event: Event) -> None:
        cut.write(event)
        if isinstance(event, UpdateDone) and event.step == 4:
            raise Interrupted

    with pytest.raises(Interrupted):
        asyncio.run(discover_all(config, cut, stop))
    assert asyncio.run(discover_all(config, cut, cut.write)).status == "done"

    def told(store: RunStore) -> tuple[list[tuple[str, str]], list[tuple[int, object]]]:
        drawn = [(each.trajectory.id, each.trajectory.answer) for each in store.events(TrajectoryFinished)]
        return drawn, [(each.step, each.metrics) for each in store.events(UpdateDone)]

    assert told(whole) == told(cut)
    drawn, updates = told(whole)
    assert len(drawn) == 2 * 3 * 4
    assert [step for step, _ in updates] == [1, 2, 4, 5], "after the last round there is no use for one"
    assert set(discoveries(config, whole).values()) == {Discovery(None, 12)}
    print_discoveries(whole)
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [words[1:] for words in shown[1:3]] == [["-", "12"]] * 2
    assert shown[5:] == [["4", "0.0%"], ["8", "0.0%"]]
    whole.close()
    cut.close()


@pytest.mark.parametrize(
    ("policy", "message"),
    [("tiny/any", "made from nothing"), ("openai/gpt-5", "cannot be trained")],
)
def test_a_policy_that_has_nothing_to_begin_with_is_refused(policy: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(DiscoveryConfig, {"policy": policy, "family": "countdown"}, source="test")
