"""The response cache belongs to one run and outlives its process."""

from __future__ import annotations

from pathlib import Path

from palaestra.core.config import VerbConfig
from palaestra.store.run_store import RunStore


def test_an_answer_is_found_again_by_a_resumed_run_only(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path, "run", VerbConfig())
    assert store.cache.get("key") is None
    store.cache.put("key", "an answer, \N{GREEK SMALL LETTER PI}\x00")
    store.cache.put("key", "a later answer")
    store.cache.put("other", "x" * 3_000_000)
    store.close()

    resumed = RunStore.open(store.folder)
    assert resumed.cache.get("key") == "a later answer"
    assert resumed.cache.get("other") == "x" * 3_000_000
    assert RunStore.create(tmp_path, "run", VerbConfig()).cache.get("key") is None
