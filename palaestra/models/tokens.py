"""Cutting texts at tokens, as the model that will read them counts."""

from __future__ import annotations

import functools
from typing import Protocol

from palaestra.core.places import load

CHARACTERS_PER_TOKEN = 4
HF = "hf/"


class Cutter(Protocol):
    def __call__(self, text: str, tokens: int) -> int:
        """Characters of `text` that make up its first so many tokens; all where it has no more."""
        ...

    def count(self, text: str) -> float:
        """Tokens of `text`."""
        ...


class CharacterCutter:
    """One token for every four characters: near what tokenizers make of English."""

    def __call__(self, text: str, tokens: int) -> int:
        return min(len(text), CHARACTERS_PER_TOKEN * tokens)

    def count(self, text: str) -> float:
        """With fractions, so that the counts of parts add up to that of the whole."""
        return len(text) / CHARACTERS_PER_TOKEN


cut_by_characters = CharacterCutter()


def cutter_for(model: str, tokenizer: str | None = None) -> Cutter:
    """By the tokenizer in that folder, or else a local model's own; without either, by characters.

    Raises:
        ConfigError: the tokenizer cannot be loaded.
    """
    folder = tokenizer or (model.removeprefix(HF) if model.startswith(HF) else None)
    return cut_by_characters if folder is None else _of_folder(folder)


@functools.cache
def _of_folder(folder: str) -> Cutter:
    cutter: Cutter = load("palaestra.models.token_offsets:TokenizerCutter", f"the tokenizer {folder}")(folder)
    return cutter
