"""A tournament once more, from what was written of it: nothing is asked."""

from __future__ import annotations

from collections.abc import Iterable

from palaestra.arena.group import Group, GroupState
from palaestra.arena.tournament import TournamentConfig
from palaestra.core.events import JudgementGiven


def replay(group: Group, config: TournamentConfig, judgements: Iterable[JudgementGiven]) -> Group:
    """Play `group` with the stored judgements that are its own; its topology then shows what came of it.

    A tournament that was interrupted stands where it was interrupted.
    """
    known = {
        (event.first, event.second, event.attempt): event.judgement
        for event in judgements
        if event.group == group.id
    }
    state = GroupState(group, config.orders, config.retries)
    while calls := state.calls():
        for call in calls:
            if judgement := known.get((call.first, call.second, call.attempt)):
                state.take(call, judgement)
    return group
