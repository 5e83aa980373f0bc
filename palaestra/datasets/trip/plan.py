"""A plan as text: one line `HH:MM Place` per stop."""

from __future__ import annotations

import re
from typing import NamedTuple

from palaestra.datasets.trip.city import clock

_STOP = re.compile(
    r"^[^\w\n]*(?P<hour>\d{1,2}):(?P<minute>[0-5]\d)[^\w\n]+(?P<place>\w.*?)[ \t]*$", re.MULTILINE
)


class Stop(NamedTuple):
    arrival: int
    """Minutes since midnight."""
    place: str


def parse_plan(text: str) -> list[Stop]:
    """The stops in a text, in the order written; lines that are no stop are passed over."""
    return [
        Stop(60 * int(match["hour"]) + int(match["minute"]), match["place"]) for match in _STOP.finditer(text)
    ]


def render_plan(stops: list[Stop]) -> str:
    return "\n".join(f"{clock(stop.arrival)} {stop.place}" for stop in stops)
