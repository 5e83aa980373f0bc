"""OOLONG: windows whose labels have to be read, and the published scores."""

import random
import re
from collections import Counter
from pathlib import Path

import pytest

from palaestra.core.task import ContextFile, Task
from palaestra.datasets.longcontext.instances import LABELS, ask
from palaestra.datasets.longcontext.oolong import COUNTING, TIMELINE, USER, parse_answer, score
from palaestra.datasets.longcontext.oolong_questions import least_frequent_label
from palaestra.datasets.longcontext.window import Tally, make_window
from palaestra.datasets.shelf import Shelf
from palaestra.models.programs.longcontext.labels import label_of


def lines_of(context: object) -> list[tuple[str, str, str]]:
    assert isinstance(context, ContextFile)
    text = Path(context.path).read_text(encoding="utf-8")
    return re.findall(r"^Date: (.+) \|\| User: (\d+) \|\| Instance: (.+)$", text, re.MULTILINE)


def test_numbers_lose_a_quarter_for_each_one_they_are_off() -> None:
    assert [score("NUMERIC", "10", f"Answer: {said}") for said in (10, 11, 8)] == [1.0, 0.75, 0.5625]
    assert score("NUMERIC", "1200", "Answer: 1,199") == 0.75
    assert score("NUMERIC", "10", "Answer: ten") == 0.0


@pytest.mark.parametrize(
    ("kind", "gold", "answer", "expected"),
    [
        ("LABEL", "location", "Label: location", 1.0),
        ("ANSWER_TYPE.LABEL", "ham", "So it is\n**Label: [Ham]**", 1.0),
        ("LABEL", "location", "Label: entity", 0.0),
        ("LABEL", "location", "location", 1.0),
        ("USER", "76153", "The user with the most lines is 76153", 1.0),
        ("USER", "76153", "User: 7615", 0.0),
        ("COMPARISON", "more common", "Answer: spam is more common than ham", 1.0),
        ("COMPARISON", "more common", "It is not more common. Answer: spam is less common than ham", 0.0),
        ("COMPARISON", "same frequency", "Answer: a is [same frequency as] b", 1.0),
        ("DATE", "Feb 02, 2023", "Date: 2023-02-02", 1.0),
        ("DATE", "Feb 02, 2023", "Date: February 2, 2023", 1.0),
        ("DATE", "Feb 02, 2023", "Date: Feb 03, 2023", 0.0),
        ("MONTH_YEAR", "Mar 2023", "Answer: Mar 2023.", 1.0),
        ("LABEL", "location", "", 0.0),
    ],
)
def test_answers_are_read_as_published(kind: str, gold: str, answer: str, expected: float) -> None:
    assert score(kind, gold, answer) == expected


def test_without_a_colon_the_last_word_of_a_long_answer_counts() -> None:
    assert parse_answer("I have counted all of them and it is location") == "location"


def test_the_least_common_label_is_asked_for_only_where_every_label_occurs() -> None:
    times = dict(zip(LABELS, (9, 8, 7, 6, 5, 2), strict=True))
    query = least_frequent_label(Tally(labels=Counter(times)), random.Random(0))
    assert query is not None
    assert query.gold == LABELS[-1]
    del times[LABELS[0]]
    assert least_frequent_label(Tally(labels=Counter(times)), random.Random(0)) is None


def test_a_window_shows_no_labels_and_tells_its_instructions_at_both_ends(tmp_path: Path) -> None:
    window = make_window("w", 20_000, Shelf(tmp_path))
    text = Path(window.context.path).read_text(encoding="utf-8")
    lines = lines_of(window.context)
    head, tail = text.split("\nDate: ")[0], text.rpartition(" || ")[2]
    for label in LABELS:
        assert label in head
        assert label in tail
    assert sum(window.tally.labels.values()) == len(lines) > 500
    assert str(len(lines)) in head
    assert Counter(label_of(asked) for *_, asked in lines) == window.tally.labels
    times = sorted(Counter(user for _, user, _ in lines).values(), reverse=True)
    few = len(lines) // 3 // 5  # a third as many ids as lines are drawn from
    assert sum(times[:few]) == pytest.approx(0.8 * len(lines), rel=0.05), "80 % by 20 % of the users"


def test_no_word_list_tells_the_labels_and_a_reader_does(tmp_path: Path) -> None:
    draw = random.Random(0)
    asked = [ask(label, draw) for label in LABELS for _ in range(400)]
    heads: dict[str, Counter[str]] = {}
    for question in asked:
        for word in re.findall(r"\w+", question.text):
            heads.setdefault(word, Counter())[question.label] += 1

    def by_votes(text: str) -> str:
        votes = sum((heads[word] for word in re.findall(r"\w+", text)), Counter[str]())
        return votes.most_common(1)[0][0]

    def by_first_noun(text: str) -> str:
        telling = (heads[word] for word in re.findall(r"\w+", text) if max(heads[word].values()) < 400)
        return max(telling, key=lambda counts: max(counts.values()) / counts.total()).most_common(1)[0][0]

    assert sum(by_first_noun(each.text) == each.label for each in asked) < 0.85 * len(asked)
    assert sum(by_votes(each.text) == each.label for each in asked) < 0.85 * len(asked)
    assert all(label_of(each.text) == each.label for each in asked)


def test_questions_are_clear_and_their_answers_follow_from_the_lines(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    tasks = [task for family in (COUNTING, USER, TIMELINE) for task in family.tasks(25, 16_000, shelf)]
    assert len({task.prompt for task in tasks}) == len(tasks) == 75
    lines = [(day, user, label_of(asked)) for day, user, asked in lines_of(tasks[0].context)]
    labels = Counter(label for *_, label in lines)
    for task in tasks:
        named = re.findall(r"'([a-z ]+)'", task.prompt)
        if "which of the labels is the most" in task.prompt:
            assert task.reference == labels.most_common(1)[0][0]
        if "how many lines should" in task.prompt:
            assert task.reference == str(labels[named[0]])
        if "which user has the most lines with" in task.prompt:
            users = Counter(user for _, user, label in lines if label == named[0]).most_common(2)
            assert task.reference == users[0][0]
            assert users[0][1] > users[1][1]
        if "which date" in task.prompt:
            assert task.reference == Counter(day for day, *_ in lines).most_common(1)[0][0]
    assert {kind(task) for task in tasks} >= {"LABEL", "NUMERIC", "COMPARISON", "USER", "MONTH_YEAR"}


def kind(task: Task) -> str:
    found: str = task.metadata["kind"]
    return found


def test_the_three_groups_ask_about_the_same_window(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    assert COUNTING.tasks(1, 4000, shelf)[0].context == USER.tasks(1, 4000, shelf)[0].context
