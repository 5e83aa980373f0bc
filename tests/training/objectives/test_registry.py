"""From what a user writes to an objective."""

import pytest
from pydantic import ValidationError

from palaestra.core.config import resolve
from palaestra.core.errors import ConfigError
from palaestra.core.record import Record
from palaestra.training.objectives.aepo import AEPOConfig
from palaestra.training.objectives.arena_rl import ArenaRL, ArenaRLConfig
from palaestra.training.objectives.gspo import GSPO, GSPOConfig
from palaestra.training.objectives.registry import AnyObjectiveConfig, objective


class Settings(Record):
    objective: AnyObjectiveConfig = ArenaRLConfig()


def test_a_name_is_enough() -> None:
    config = resolve(Settings, None, ["objective=gspo"]).objective
    assert config == resolve(Settings, None, ["objective.name=gspo"]).objective == GSPOConfig()
    assert isinstance(objective(config), GSPO)


def test_settings_without_a_name_are_those_of_the_default() -> None:
    config = resolve(Settings, None, ["objective.kl=0.02"]).objective
    assert config == ArenaRLConfig(kl=0.02)
    assert isinstance(objective(config), ArenaRL)


def test_an_objective_takes_another_rule_for_its_advantages() -> None:
    config = resolve(Settings, None, ["objective.name=gspo", "objective.advantage=rank-scaled"]).objective
    assert config == GSPOConfig(advantage="rank-scaled")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["objective=gspoo"], "gspoo"),
        (["objective.name=gspo", "objective.mixture=1"], "mixture"),
        (["objective.advantage=best"], "group-standardised"),
    ],
)
def test_what_is_not_known_is_named(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve(Settings, None, overrides)


def test_a_band_of_entropy_has_its_low_end_below() -> None:
    with pytest.raises(ValidationError, match="entropy_low is above entropy_high"):
        AEPOConfig(entropy_low=0.3, entropy_high=0.2)
