"""Curves over lengths as an SVG file: one line for each agent."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 60, 110, 20, 50
COLOURS = ("#444444", "#d95f02", "#1b7837", "#2166ac", "#762a83", "#b2182b")
STEP = 4
"""Pixels by which the lines stand apart, so that equal ones are all seen."""

Curve = Sequence[tuple[int, float]]
"""(length in tokens, share in [0, 1]), by length."""


def draw(curves: Mapping[str, Curve]) -> str:
    """Shares over a logarithmic axis of lengths."""
    lengths = sorted({length for curve in curves.values() for length, _ in curve})
    low, high = math.log2(lengths[0]), math.log2(lengths[-1])

    def x(length: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (
            (math.log2(length) - low) / (high - low) if high > low else 0.5
        )

    def y(share: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - share)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts.append(_line([(LEFT, y(share)), (WIDTH - RIGHT, y(share))], "#dddddd", 1))
        parts.append(_text(LEFT - 8, y(share) + 4, f"{share:.0%}", "end"))
    parts += [_text(x(length), HEIGHT - BOTTOM + 20, tokens(length), "middle") for length in lengths]
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, "tokens of context", "middle"))
    for index, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[index % len(COLOURS)]
        shift = STEP * (index - (len(curves) - 1) / 2)
        places = [(x(length) + shift, y(share)) for length, share in curve]
        parts.append(_line(places, colour, 2))
        parts += [f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="3.5" fill="{colour}"/>' for cx, cy in places]
        height = TOP + 10 + 20 * index
        parts.append(f'<circle cx="{WIDTH - RIGHT + 24}" cy="{height - 4}" r="3.5" fill="{colour}"/>')
        parts.append(_text(WIDTH - RIGHT + 34, height, name, "start"))
    return "\n".join([*parts, "</svg>\n"])


def tokens(length: int) -> str:
    """
    >>> tokens(8192), tokens(1048576), tokens(1500)
    ('8k', '1m', '1500')
    """
    for unit, size in (("m", 1 << 20), ("k", 1 << 10)):
        if length % size == 0:
            return f"{length // size}{unit}"
    return str(length)


def _line(places: Sequence[tuple[float, float]], colour: str, width: int) -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
