"""What every stored noun and every configuration has in common."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """An immutable value, closed to unknown fields so that a misspelt one is an error.

    A metric that became NaN or infinite is written as a string and read back as the number.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, ser_json_inf_nan="strings"
    )


def canonical_json(value: Any) -> str:
    """One spelling per JSON value: sorted keys, no spaces, no NaN. The basis of every content address."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`, in hexadecimal."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def derive_seed(*parts: int | str) -> int:
    """A seed below 2³¹ (what every provider takes) for each combination of parts, the same everywhere."""
    return int(digest(list(parts))[:8], 16) >> 1
