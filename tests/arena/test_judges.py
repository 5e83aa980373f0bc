"""The judges beside the pairwise one: what each asks, and what it makes of the answers."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from itertools import combinations, permutations
from pathlib import Path
from statistics import fmean

import pytest
from pydantic import TypeAdapter

from palaestra.arena.judges.annotators import AnnotatorPool, agreement_with_majority
from palaestra.arena.judges.base import GroupJudge, Judge
from palaestra.arena.judges.listwise import ListwiseJudge, ListwiseJudgeConfig
from palaestra.arena.judges.llm import LLMJudge, LLMJudgeConfig
from palaestra.arena.judges.panel import Member, PanelJudge
from palaestra.arena.judges.pointwise import PointwiseJudge, PointwiseJudgeConfig
from palaestra.arena.judges.recorded import RecordedJudge
from palaestra.arena.judges.reference import ReferenceJudge, ReferenceJudgeConfig
from palaestra.arena.judges.registry import AnyJudgeConfig, open_judge
from palaestra.arena.judging import JudgeConfig
from palaestra.arena.judging import judge as judge_systems
from palaestra.arena.leaderboard import rank_systems
from palaestra.core.chat import Completion, Message, Sampling
from palaestra.core.errors import ModelError, ModelUnreachable
from palaestra.core.events import JudgementGiven, TrajectoryFinished
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.verdict import NoVerdict, Verdict, Winner
from palaestra.datasets.judgements.group import JudgedGroup, RecordedVote
from palaestra.models.config import ModelConfig
from palaestra.models.programs.echo import nonsense
from palaestra.models.programs.judge import judge as competent
from palaestra.models.scripted import Program, ScriptedModel
from palaestra.store.run_store import RunStore

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


# reference, pointwise, listwise


def test_the_reference_is_shown_as_part_of_the_task_and_must_be_there() -> None:
    listener = Listener()
    judge = ReferenceJudge(scripted(listener), ReferenceJudgeConfig(model=MODEL))
    [verdict] = ask(judge, [(GROUP[0], GROUP[7])])
    assert verdict.winner == "second"
    task, _, contestants = listener.requests[0].partition("end of task")
    assert "[reference answer, known to be good]\n> Serralves.\n" in task
    assert "known to be good" not in contestants
    without = refuse(judge, TASK.model_copy(update={"reference": None}))
    assert "has no reference answer" in without.reason
    assert without.usage.calls == 0


def test_pointwise_scores_collapse_where_a_pair_is_told_apart() -> None:
    pairs = list(combinations(GROUP, 2))
    pairwise = ask(LLMJudge(scripted(competent), LLMJudgeConfig(model=MODEL)), pairs)
    pointwise = ask(PointwiseJudge(scripted(competent), PointwiseJudgeConfig(model=MODEL)), pairs)
    assert {verdict.winner for verdict in pairwise} == {"second"}
    ties = fmean(verdict.winner == "tie" for verdict in pointwise)
    assert ties == 7 / 28
    assert {verdict.winner for verdict in pointwise} == {"second", "tie"}


def test_pointwise_asks_once_for_each_contestant_and_attempt() -> None:
    listener = Listener()
    judge = PointwiseJudge(scripted(listener), PointwiseJudgeConfig(model=MODEL))
    pairs = list(permutations(GROUP, 2))
    verdicts = ask(judge, pairs)
    assert len(listener.requests) == sum(verdict.usage.calls for verdict in verdicts) == len(GROUP)
    assert all("contestant B" not in request for request in listener.requests)
    ask(judge, pairs, attempt=1)
    assert len(listener.requests) == 2 * len(GROUP)


def test_a_list_is_asked_in_both_directions_and_decides_every_pair() -> None:
    listener = Listener()
    judge = ListwiseJudge(scripted(listener), ListwiseJudgeConfig(model=MODEL), seed=3)
    assert isinstance(judge, GroupJudge)
    judge.meet(TASK, GROUP)
    pairs = list(permutations(GROUP, 2))
    verdicts = ask(judge, pairs)
    for (first, second), verdict in zip(pairs, verdicts, strict=True):
        assert verdict.winner == ("first" if first.id > second.id else "second")
    assert sum(verdict.usage.calls for verdict in verdicts) == len(listener.requests) == 2
    orders = [
        [line for line in request.split("\n") if "In the evening" in line] for request in listener.requests
    ]
    assert orders[0] == orders[1][::-1]
    assert orders[0] not in (sorted(orders[0]), sorted(orders[0])[::-1])
    for first, second in pairs:
        [shown] = [
            order for order in orders if order.index(f"> {first.answer}") < order.index(f"> {second.answer}")
        ]
        assert shown in orders


def test_a_list_of_strangers_is_the_pair_and_a_bad_list_fails_all_its_pairs_once() -> None:
    listener = Listener()
    judge = ListwiseJudge(scripted(listener), ListwiseJudgeConfig(model=MODEL))
    assert ask(judge, [(GROUP[0], GROUP[5])])[0].winner == "second"
    judge.meet(TASK, GROUP)
    judge.leave(TASK, GROUP)
    assert ask(judge, [(GROUP[1], GROUP[2])])[0].usage.calls == 1
    assert "contestant C" not in "".join(listener.requests)
    bad = ListwiseJudge(scripted(nonsense), ListwiseJudgeConfig(model=MODEL))
    bad.meet(TASK, GROUP)

    async def two_pairs() -> list[Verdict | NoVerdict]:
        return [await bad.compare(TASK, GROUP[0], other) for other in GROUP[1:3]]

    judgements = asyncio.run(two_pairs())
    assert all(isinstance(judgement, NoVerdict) for judgement in judgements)
    assert sum(judgement.usage.calls for judgement in judgements) <= 2


def test_a_contestant_in_several_groups_is_shown_with_the_group_of_the_pair() -> None:
    listener = Listener()
    judge = ListwiseJudge(scripted(listener), ListwiseJudgeConfig(model=MODEL))
    alone, *others = GROUP[:7]
    groups = [[alone, *others[turn : turn + 2]] for turn in (0, 2, 4)]
    for group in groups:
        judge.meet(TASK, group)
    for group in groups:
        ask(judge, list(permutations(group, 2)))
        judge.leave(TASK, group)
    assert len(listener.requests) == 2 * len(groups)
    assert all("contestant C" in request for request in listener.requests)


def test_the_first_verdict_that_has_all_its_answers_bears_their_usage() -> None:
    """So that one that is stored never rests on an answer whose usage would be lost with another."""
    slow = asyncio.Event()

    class Waiting(ScriptedModel):
        async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
            if GROUP[2].answer in messages[1].content:
                await slow.wait()
            return await super().generate(messages, sampling)

    judge = PointwiseJudge(Waiting("scripted/waiting", competent), PointwiseJudgeConfig(model=MODEL))

    async def calls() -> tuple[int, int]:
        later = asyncio.create_task(judge.compare(TASK, GROUP[1], GROUP[2]))
        await asyncio.sleep(0)
        sooner = await judge.compare(TASK, GROUP[0], GROUP[1])
        slow.set()
        return sooner.usage.calls, (await later).usage.calls

    assert asyncio.run(calls()) == (2, 1)


def test_a_question_that_failed_is_asked_again_and_only_those_who_waited_failed() -> None:
    class Flaky(ScriptedModel):
        failures = 1

        async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
            if self.failures:
                self.failures -= 1
                raise ModelUnreachable("m: no answer")
            return await super().generate(messages, sampling)

    judge = PointwiseJudge(Flaky("scripted/flaky", competent), PointwiseJudgeConfig(model=MODEL))
    with pytest.raises(ModelUnreachable):
        ask(judge, [(GROUP[0], GROUP[1])])
    [verdict] = ask(judge, [(GROUP[0], GROUP[1])])
    assert verdict.usage.calls == 2  # one of them is of the first time: no verdict bore it then


# panel


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


def panel(
    *says: tuple[float, float] | str | ModelError, weights: Sequence[float] = (), **rest: object
) -> PanelJudge:
    judges = [Fixed(f"j{number}", each) for number, each in enumerate(says)]
    members = [Member(*pair) for pair in zip(judges, weights or [1.0] * len(judges), strict=True)]
    return PanelJudge(members, **rest)  # type: ignore[arg-type]


def test_a_panel_takes_the_mean_or_the_votes_by_weight() -> None:
    pair = [(GROUP[0], GROUP[1])]
    says = ((9.0, 1.0), (4.0, 6.0), (5.0, 6.0))
    [mean] = ask(panel(*says), pair)
    assert mean.winner == "first"
    assert mean.scores == pytest.approx((6, 13 / 3))
    [vote] = ask(panel(*says, rule="vote"), pair)
    assert vote.winner == "second"
    assert vote.scores == pytest.approx((10 / 3, 20 / 3))
    [heavy] = ask(panel(*says, rule="vote", weights=(3, 1, 1)), pair)
    assert heavy.scores == (6, 4)
    assert [member.winner for member in vote.votes] == ["first", "second", "second"]
    assert vote.disagreement == pytest.approx(1 / 3)
    assert mean.disagreement == pytest.approx(2 / 3)
    [split] = ask(panel((7, 7), (9, 1), (1, 9), rule="vote"), pair)
    assert split.winner == "tie"
    assert split.disagreement == pytest.approx(2 / 3)


def test_a_panel_needs_its_quorum_and_records_who_was_missing() -> None:
    down = ModelUnreachable("m: no answer")
    [two_of_three] = ask(panel((9, 1), "garbage", (7, 3)), [(GROUP[0], GROUP[1])])
    assert two_of_three.scores == (8, 2)
    assert [(vote.winner, vote.reason) for vote in two_of_three.votes][1] == (None, "garbage")
    short = refuse(panel((9, 1), "garbage", down))
    assert "1 of 3 judges gave a verdict and 2 must (j1: garbage)" in short.reason
    assert [vote.winner for vote in short.votes] == ["first", None, None]
    [alone] = ask(panel((9, 1), "garbage", down, quorum=1), [(GROUP[0], GROUP[1])])
    assert alone.scores == (9, 1)
    with pytest.raises(ModelUnreachable):
        refuse(panel(down, down))


def test_members_of_a_panel_have_names_of_their_own() -> None:
    twins = [Member(Fixed("m", says), 1.0) for says in ((9.0, 1.0), (8.0, 2.0), (1.0, 9.0))]
    judge = PanelJudge([*twins, Member(Fixed("n", (9, 1)), 1.0)])
    [verdict] = ask(judge, [(GROUP[0], GROUP[1])])
    assert [vote.judge for vote in verdict.votes] == ["m", "m#2", "m#3", "n"]
    assert judge.name == "panel(m, m#2, m#3, n)"


# simulated annotators


def test_each_question_goes_to_one_annotator_and_a_quarter_is_turned_round() -> None:
    annotators = [Fixed(name, (8, 2)) for name in ("a", "b", "c")]
    pairs = [(answer("x", f"{n}"), answer("y", f"{n}'")) for n in range(1200)]
    verdicts = ask(AnnotatorPool(annotators, 0.25, seed=1), pairs)
    assert verdicts == ask(AnnotatorPool(annotators, 0.25, seed=1), pairs)
    assert verdicts != ask(AnnotatorPool(annotators, 0.25, seed=2), pairs)
    assert fmean(verdict.winner == "second" for verdict in verdicts) == pytest.approx(0.25, abs=0.04)
    assert {verdict.votes[0].scores for verdict in verdicts} == {(8, 2)}
    for annotator in annotators:
        share = fmean(verdict.votes[0].judge == annotator.name for verdict in verdicts)
        assert share == pytest.approx(1 / 3, abs=0.05)
    quiet = ask(AnnotatorPool(annotators, 0.0), pairs[:50])
    assert {verdict.winner for verdict in quiet} == {"first"}


def test_agreement_with_the_majority_leaves_the_own_vote_out() -> None:
    assert agreement_with_majority([("first",) * 4]) == 1
    assert agreement_with_majority([("first", "first", "second")]) == pytest.approx((0.5 + 0.5 + 0) / 3)
    assert agreement_with_majority([("first", "second")]) == 0
    assert agreement_with_majority([("first",), ("tie", "tie")]) == 1
    assert agreement_with_majority([]) != agreement_with_majority([])
    draw = random.Random(0)
    sides: tuple[Winner, ...] = ("first", "second")
    coin = [[draw.choice(sides) for _ in range(5)] for _ in range(2000)]
    assert agreement_with_majority(coin) == pytest.approx(0.5, abs=0.02)


# recorded


def recorded(*votes: dict[str, object]) -> RecordedJudge:
    common = {"a": "plan-0", "b": "plan-1", "judge": "j", "source": "model"}
    group = JudgedGroup(group="t", votes=tuple(RecordedVote.model_validate(common | vote) for vote in votes))
    return RecordedJudge("recorded/test", [group])


def test_recorded_votes_answer_for_their_own_order_first() -> None:
    one, other = GROUP[:2]
    judge = recorded(
        {"winner": "a", "first_shown": "a"},
        {"winner": "b", "first_shown": "b", "scores": (2.0, 6.0)},
    )
    forth, back = ask(judge, [(one, other), (other, one)])
    assert (forth.winner, forth.scores) == ("first", (10, 0))
    assert (back.winner, back.scores) == ("first", (6, 2))
    forth, back = ask(recorded({"winner": "a", "first_shown": "a"}), [(one, other), (other, one)])
    assert (forth.winner, back.winner) == ("first", "second")
    forth, back = ask(recorded({"winner": "tie"}), [(one, other), (other, one)])
    assert (forth.winner, back.scores) == ("tie", (5, 5))


def test_asking_again_gives_the_next_recorded_vote_and_gaps_are_no_verdict() -> None:
    judge = recorded({"winner": None}, {"winner": "b"})
    assert refuse(judge).reason == "the recorded answer of j held no verdict"
    assert ask(judge, [(GROUP[0], GROUP[1])], attempt=1)[0].winner == "second"
    missing = asyncio.run(judge.compare(TASK, GROUP[0], GROUP[2]))
    assert missing == NoVerdict(reason="no vote on plan-0 and plan-2 for t is recorded")


# by configuration


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("scripted/judge", "scripted/judge"),
        ("reference/scripted/judge", "reference/scripted/judge"),
        ("pointwise/scripted/judge", "pointwise/scripted/judge"),
        ("listwise/scripted/judge", "listwise/scripted/judge"),
        ("programmatic/trip", "programmatic/trip"),
        ("human", "human"),
        ({"model": "scripted/judge", "rubric": "travel"}, "scripted/judge"),
        (
            {
                "kind": "panel",
                "judges": ["scripted/judge", {"judge": "pointwise/scripted/judge", "weight": 2}],
            },
            "panel(scripted/judge, pointwise/scripted/judge)",
        ),
        (
            {"kind": "annotators", "annotators": ["scripted/judge", "programmatic/trip"]},
            "annotators(scripted/judge, programmatic/trip)",
        ),
    ],
)
def test_every_judge_opens_by_name_or_settings(wanted: object, name: str) -> None:
    schema: TypeAdapter[object] = TypeAdapter(AnyJudgeConfig)
    config = schema.validate_python(wanted)
    assert schema.validate_python(schema.dump_python(config, mode="json")) == config

    async def name_of() -> str:
        async with open_judge(config, seed=1) as judge:  # type: ignore[arg-type]
            return judge.name

    assert asyncio.run(name_of()) == name


def test_a_recorded_judge_opens_with_its_file(tmp_path: Path) -> None:
    votes = (RecordedVote(a="plan-0", b="plan-1", winner="b", judge="j", source="model"),)
    group = JudgedGroup(group="t", prompt="?", candidates={"plan-0": "x", "plan-1": "y"}, votes=votes)
    (tmp_path / "votes.jsonl").write_text(group.model_dump_json())
    schema: TypeAdapter[object] = TypeAdapter(AnyJudgeConfig)

    async def compare() -> Verdict | NoVerdict:
        async with open_judge(schema.validate_python(f"recorded/{tmp_path}/votes.jsonl")) as judge:  # type: ignore[arg-type]
            return await judge.compare(TASK, GROUP[0], GROUP[1])

    judgement = asyncio.run(compare())
    assert isinstance(judgement, Verdict)
    assert judgement.winner == "second"


def test_a_pool_gives_the_win_rate_against_a_reference_model(tmp_path: Path) -> None:
    plans = {"reference": PLANS[3], "better": PLANS[6], "worse": PLANS[0]}
    for name, plan in plans.items():
        rows = [{"prompt": f"{TASK.prompt} Day {day}.", "answer": plan} for day in range(60)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    config = JudgeConfig.model_validate(
        {
            "systems": [str(tmp_path / f"{name}.jsonl") for name in plans],
            "judge": {
                "kind": "annotators",
                "annotators": ["scripted/judge", {"model": "scripted/judge", "rubric": "brief_answers"}],
            },
            "topology": "anchor",
            "tournament": {"orders": "one"},
        }
    )
    store = RunStore.create(tmp_path / "runs", "judge", config)
    asyncio.run(judge_systems(config, store, store.write))
    trajectories = [event.trajectory for event in store.events(TrajectoryFinished)]
    board = rank_systems(store.events(JudgementGiven), trajectories, "one")
    store.close()
    rates = {row.system: row.win_rate for row in board.systems}
    assert board.judged == 120
    assert rates["better"] == pytest.approx(0.75, abs=0.12)
    assert rates["worse"] == pytest.approx(0.25, abs=0.12)
