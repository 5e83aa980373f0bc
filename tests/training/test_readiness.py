"""What would end a run at once is told before it begins."""

from pathlib import Path
from typing import Any

import pytest

from palaestra.core.errors import ConfigError
from palaestra.training.readiness import check
from tests.training.runs import BASE, settings

SHOWN = BASE["rollout"] | {"show_context": True}
TINY = {"name": "tiny/trip", "device": "cpu"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rollout": SHOWN}, "no prompt of trip fits: .*hf/.* has a window of 192;"),
        ({"policy": TINY, "rollout": SHOWN}, "no prompt of trip fits: .*tiny/trip has a window of 192;"),
        ({"stages": [{"steps": 9, "max_tokens": 190}]}, "190 are to be drawn"),
        ({"policy": "hf/./nowhere"}, "there is no folder ./nowhere"),
        ({"judge": "scripted/ecko"}, "there is no scripted model 'ecko'"),
    ],
)
def test_a_run_that_would_fail_at_once_is_refused(start: Path, changes: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check(settings(start, **{"tasks": 20, **changes}))


@pytest.mark.parametrize("changes", [{}, {"policy": TINY}, {"policy": "hf/nobody/has-this"}])
def test_what_may_well_succeed_is_let_through(start: Path, changes: Any) -> None:
    check(settings(start, **{"tasks": 20, **changes}))
