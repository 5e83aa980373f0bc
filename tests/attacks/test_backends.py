"""What the attacks are aimed at."""

from __future__ import annotations

from typing import Literal

from palaestra.sandbox.jail.probe import probe
from tests.attacks.backends import jail_config

TIERS: tuple[Literal["namespaces", "landlock"], ...] = ("namespaces", "landlock")


def test_this_machine_gives_at_least_one_tier_of_the_jail() -> None:
    """A tier that a machine lacks is skipped elsewhere, with the reason."""
    found = [probe(jail_config(tier)).tiers[tier] for tier in TIERS]
    assert "" in found
