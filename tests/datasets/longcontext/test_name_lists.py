"""NameIndex and MiddleMatch: every answer is the only one."""

from palaestra.datasets.longcontext.name_lists import MIDDLE_MATCH, NAME_INDEX, matches, names_it


def test_the_25th_name_is_asked_for() -> None:
    for task in NAME_INDEX.tasks(200):
        listed = task.prompt.split("\n\n")[1].split(", ")
        assert len(set(listed)) == 50
        assert listed[24] == task.reference
        assert NAME_INDEX.utility(task, f"It is {task.reference}.") == 1.0
        assert NAME_INDEX.utility(task, listed[23]) == NAME_INDEX.utility(task, ", ".join(listed)) == 0.0


def test_one_name_stands_between_the_two_in_either_order() -> None:
    for task in MIDDLE_MATCH.tasks(200):
        items = task.prompt.split("\n\n")[1].split(", ")
        before, after = task.prompt.split("between ")[1].split("? ")[0].split(" and ")
        assert len(items) == 40
        assert len(set(items)) <= 10
        between = [items[i] for i in range(1, 39) if {items[i - 1], items[i + 1]} == {before, after}]
        assert between == [task.reference]


def test_the_reverse_order_is_a_match_too() -> None:
    assert matches(["A", "x", "B", "C", "B", "y", "A"], "A", "B") == ["x", "y"]
    assert matches(["A", "x", "A"], "A", "B") == []


def test_answers() -> None:
    assert names_it("Ada Baker", "The name is Ada Baker") == 1.0
    assert names_it("Ada Baker", "Ada Baker or Uma Costa") == 0.0
