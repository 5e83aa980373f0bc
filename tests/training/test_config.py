"""Settings that go together, and those that do not."""

from pathlib import Path
from typing import Any

import pytest

from palaestra.core.errors import ConfigError
from tests.training.runs import settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "grade"}, "needs a differentiable reward"),
        ({"objective": "dpo"}, "selection=all does not go with objective dpo"),
        ({"objective": "grpo", "selection": "all-pairs"}, "selection=all-pairs does not go"),
        ({"reward": "posterior"}, "objective.advantage=rank-scaled"),
        ({"objective": "on-policy-distillation"}, "teacher.kind=model"),
        ({"teacher": {"kind": "model"}}, "teacher.kind=model needs teacher.model"),
        ({"adapter": {"kind": "lora"}, "update_mask": {"parts": ["principal"]}}, "one of the two"),
        ({"evaluation": {"patience": 1}}, "needs evaluation.every"),
        ({"evaluation": {"best_of": True}}, "needs evaluation.samples"),
        ({"objective": "light-reasoner"}, "teacher.kind=contrast"),
        ({"teacher": {"model": "hf/x"}}, r"teacher.kind=average \(the default\) takes no teacher.model"),
        ({"teacher": {"rate": 0.5}}, r"objective arena-rl \(the default\) learns from no teacher"),
        ({"teacher": {"rate": 0.5}, "objective": "grpo"}, "objective grpo learns from no teacher"),
        (
            {"teacher": {"kind": "contrast", "model": "hf/x"}, "objective": "sdpo"},
            "objective sdpo does not learn from teacher.kind=contrast",
        ),
        ({"families": ["trip", "trap"]}, "unknown task family 'trap'; there are: "),
        ({"teacher": {"kind": "model", "model": "openai/gpt-5"}, "objective": "sdpo"}, "give hf/"),
        ({"objective": "grpo", "selection": "best"}, "leaves too few of them"),
        ({"objective": "grpo", "reward": "none"}, "reward=none gives none"),
        ({"objective": "sdpo", "reward": "none", "refills": 1}, "set refills=0"),
        ({"objective": "sdpo", "reward": "none", "unfinished": -1}, "leave unfinished out"),
        ({"objective": "pipeline-rl", "off_policy": {}}, "weighs twice"),
        ({"families": ["countdown"]}, "judge=programmatic/trip cannot judge tasks of countdown"),
        ({"conditioning": {}}, "needs objective=sft"),
        (
            {"conditioning": {}, "objective": "sft", "reward": "utility", "off_policy": {}},
            "off_policy weighs what the policy drew",
        ),
        ({"objective": "sdpo", "reward": "none", "selection": "best"}, "take selection=all"),
        ({"objective": "sdpo", "teacher": {"kind": "frozen", "rate": 0.1}}, "teacher.kind=average alone"),
        ({"objective": "sdpo", "teacher": {"share": 0.1}}, "teacher.kind=trust-region alone"),
        ({"sampler": {"name": "vllm/policy", "dtype": "bfloat16"}}, "sampler.dtype has no effect"),
        (
            {
                "sampler": {
                    "name": "hosted_vllm/policy",
                    "api_base": "http://127.0.0.1:1/v1",
                    "requests_per_minute": 9,
                }
            },
            "sampler.requests_per_minute has no effect",
        ),
        ({"policy": {"name": "hf/x", "contrast": {"amateur": "hf/y"}}}, "leave it out"),
        ({"policy": {"name": "hf/x", "repeat": "repeat"}}, "leave repeat out"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(start: Path, changes: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settings(start, **changes)


def test_one_family_may_be_named_alone(start: Path) -> None:
    assert settings(start, family="trip").families == ("trip",)
