"""Events survive being written and read."""

from __future__ import annotations

import math
import pickle

import pytest
from pydantic import ValidationError

from palaestra.core import errors
from palaestra.core.events import JudgementGiven, UpdateDone, any_event
from palaestra.core.verdict import NoVerdict, Verdict


def test_the_kind_decides_on_the_class() -> None:
    for judgement in (Verdict.from_scores(7, 3), NoVerdict(reason="nonsense")):
        event = JudgementGiven(group="g", stage="r1", first="a", second="b", judge="j", judgement=judgement)
        assert any_event.validate_json(event.model_dump_json()) == event


def test_a_metric_that_is_no_number_any_more_is_read_back() -> None:
    event = UpdateDone(step=3, phase="train", metrics={"loss": math.nan, "norm": math.inf, "reward": 0.5})
    again = any_event.validate_json(event.model_dump_json())
    assert isinstance(again, UpdateDone)
    assert math.isnan(again.metrics["loss"])
    assert again.metrics["norm"] == math.inf
    assert again.metrics["reward"] == 0.5


def test_an_event_of_another_version_is_refused() -> None:
    with pytest.raises(ValidationError):
        any_event.validate_json('{"kind": "run-started", "version": 2, "verb": "run"}')


def test_every_error_survives_the_way_between_processes() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert len(kinds) >= 15
    for kind in kinds:
        again = pickle.loads(pickle.dumps(kind("what to do")))
        assert type(again) is kind
        assert str(again) == "what to do"
