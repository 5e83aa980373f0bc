"""The columns of exported Parquet files. Sub-trajectories are JSON text: Parquet types cannot recurse."""

from __future__ import annotations

import pyarrow as pa

_USAGE = pa.struct(
    {
        "calls": pa.int64(),
        "tokens_in": pa.int64(),
        "tokens_out": pa.int64(),
        "tokens_cached": pa.int64(),
        "cost": pa.float64(),
        "seconds": pa.float64(),
    }
)
_STEP = pa.struct(
    {
        "thought": pa.string(),
        "actions": pa.list_(pa.struct({"kind": pa.string(), "name": pa.string(), "content": pa.string()})),
        "observation": pa.string(),
        "usage": _USAGE,
        "seconds": pa.float64(),
    }
)
_TRACE = pa.struct(
    {"ids": pa.list_(pa.int64()), "log_probs": pa.list_(pa.float64()), "mask": pa.list_(pa.bool_())}
)
_VOTE = pa.struct(
    {
        "judge": pa.string(),
        "winner": pa.string(),
        "scores": pa.list_(pa.float64()),
        "reason": pa.string(),
        "usage": _USAGE,
        "request": pa.string(),
    }
)

TRAJECTORY = pa.schema(
    {
        "at": pa.float64(),
        "group": pa.string(),
        "id": pa.string(),
        "task_id": pa.string(),
        "agent": pa.string(),
        "status": pa.string(),
        "answer": pa.string(),
        "steps": pa.list_(_STEP),
        "reason": pa.string(),
        "usage": pa.struct({"policy": _USAGE, "sub": _USAGE, "judge": _USAGE}),
        "seconds": pa.float64(),
        "children": pa.string(),
        "trace": _TRACE,
    }
)
JUDGEMENT = pa.schema(
    {
        "at": pa.float64(),
        "group": pa.string(),
        "stage": pa.string(),
        "first": pa.string(),
        "second": pa.string(),
        "attempt": pa.int64(),
        "judge": pa.string(),
        "winner": pa.string(),
        "scores": pa.list_(pa.float64()),
        "rationale": pa.string(),
        "no_verdict": pa.string(),
        "dimensions": pa.map_(pa.string(), pa.list_(pa.float64())),
        "alerts": pa.list_(pa.string()),
        "votes": pa.list_(_VOTE),
        "request": pa.string(),
        "usage": _USAGE,
    }
)
STANDING = pa.schema(
    {
        "at": pa.float64(),
        "group": pa.string(),
        "contestant": pa.string(),
        "rank": pa.int64(),
        "score": pa.float64(),
        "standard_error": pa.float64(),
        "comparisons": pa.int64(),
        "undecided": pa.int64(),
    }
)
UPDATE = pa.schema(
    {
        "at": pa.float64(),
        "step": pa.int64(),
        "phase": pa.string(),
        "metrics": pa.map_(pa.string(), pa.float64()),
    }
)
