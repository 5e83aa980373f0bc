"""A leaderboard as one HTML file that needs nothing else."""

from __future__ import annotations

from pathlib import Path

from palaestra.arena.leaderboard import Leaderboard
from palaestra.core.template import render

TEMPLATE = Path(__file__).with_name("pages") / "leaderboard.html.j2"


def leaderboard_page(board: Leaderboard, title: str) -> str:
    return render(TEMPLATE, board=board, title=title) + "\n"
