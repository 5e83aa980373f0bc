from palaestra.arena.topologies.knockout import standard_order


def test_brackets_are_drawn_up_in_standard_order() -> None:
    assert standard_order(1) == [0]
    assert standard_order(4) == [0, 3, 1, 2]
    assert standard_order(16) == [0, 15, 7, 8, 3, 12, 4, 11, 1, 14, 6, 9, 2, 13, 5, 10]
