"""Where the tokens of a tokenizer begin and end."""

from __future__ import annotations

from transformers import AutoTokenizer

from palaestra.core.errors import ConfigError


class TokenizerCutter:
    """Cuts by a tokenizer of transformers, from a folder or the hub."""

    def __init__(self, folder: str) -> None:
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder)
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot load a tokenizer from {folder}: {error}; check the path") from error

    def __call__(self, text: str, tokens: int) -> int:
        ends = self._ends(text)
        if len(ends) <= tokens:
            return len(text)
        # A word that is cut may have more tokens than its part of the whole had.
        last = tokens - 1
        while last > 0 and len(self._ends(text[: ends[last]])) > tokens:
            last -= 1
        return ends[last] or 1

    def count(self, text: str) -> int:
        return len(self._ends(text))

    def _ends(self, text: str) -> list[int]:
        """Where each token ends."""
        encoded = self._tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, truncation=False, verbose=False
        )
        return [end for _, end in encoded["offset_mapping"]]
