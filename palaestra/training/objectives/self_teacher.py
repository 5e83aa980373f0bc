"""What SDPO's teacher is told, and what keeps it from running along with the student (arXiv 2601.20802)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from palaestra.core.template import render

REPROMPT = Path(__file__).parent / "prompts" / "sdpo_reprompt.j2"


def reprompt(
    question: str, solution: str | None = None, feedback: str | None = None, template: Path = REPROMPT
) -> str | None:
    """The question with a correct solution, or with feedback on the failed attempt where there is none.

    None without either: then there is nothing to learn from, and the rollout is dropped. What a solution
    thought (`<think>…</think>`) is left out.
    """
    if not solution and not feedback:
        return None
    shown = re.sub(r"<think>.*?</think>", "", solution or "", flags=re.DOTALL).strip()
    return render(template, question=question, solution=shown, feedback="" if solution else feedback)


def demonstration(reward_G: Sequence[float], member: int, threshold: float = 0.5) -> int | None:
    """The first sibling of `member` in its group that succeeded, never itself; None when none did.

    The paper's table allows the own solution too; the released code does not, and neither does this.
    """
    successes = (place for place, reward in enumerate(reward_G) if reward >= threshold and place != member)
    return next(successes, None)


@torch.no_grad()
def move_average(teacher: Iterable[Tensor], student: Iterable[Tensor], rate: float) -> None:
    """θ_teacher ← (1−η)·θ_teacher + η·θ in place, after each applied step; η is usually 0.01 to 0.05."""
    for average, latest in zip(teacher, student, strict=True):
        average.lerp_(latest.to(average), rate)
