"""The leaderboard as a page: whole in one file, and a system's name is text in it."""

from __future__ import annotations

from html.parser import HTMLParser

from palaestra.arena.leaderboard import rank_systems
from palaestra.arena.leaderboard_page import leaderboard_page
from palaestra.core.events import JudgementGiven
from palaestra.core.trajectory import Trajectory
from palaestra.core.verdict import Verdict

HOSTILE = "<script>alert(1)</script> & {{ 7 * 7 }}"


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.cells: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.cells.append(data.strip())


def test_the_page_ranks_the_systems_and_loads_nothing() -> None:
    trajectories = [
        Trajectory(id=f"{name}/{task}", task_id=task, agent=name, status="finished", answer=name)
        for task in "12"
        for name in ("plain", HOSTILE)
    ]
    events = [
        JudgementGiven(
            group=task,
            stage="r",
            first=f"plain/{task}",
            second=f"{HOSTILE}/{task}",
            judge="<b>j</b>",
            judgement=Verdict.from_scores(2, 8),
        )
        for task in "12"
    ]
    page = Page(leaderboard_page(rank_systems(events, trajectories, "one"), "Board of <run>"))
    assert not {"script", "b>j"} & set(page.tags)
    assert page.links == []
    assert page.cells.count("Board of <run>") == 2
    assert page.cells.index(HOSTILE) < page.cells.index("plain")
    assert page.cells[page.cells.index(HOSTILE) + 1] == "100.0 %"
    assert any(cell.startswith("judge <b>j</b>: 0 calls") for cell in page.cells)
    unjudged = Page(leaderboard_page(rank_systems([], trajectories, "one"), "Empty"))
    assert "plain" in unjudged.cells
