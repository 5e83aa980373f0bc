"""What an update is made of: token traces with their rewards, and how they are laid out for a pass.

Shape suffixes: `_N` rollouts, `_T` tokens of the whole sequence, prompt included.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from palaestra.core.chat import TokenTrace


class Sample(NamedTuple):
    trace: TokenTrace
    reward: float = 0.0
    """What advantages are made of; an objective that imitates or compares pairs does not read it."""
    group: int = 0
    """Equal for samples of one task."""
    family: int = 0
    """Equal for samples of one task family."""
    sampled: bool = True
    """False for an answer that the policy did not draw, and for a greedy one: its trace tells no
    log-probabilities under the temperature of the rollouts."""
    told_prompt: tuple[int, ...] | None = None
    """What is told in the place of the prompt: to a self-teacher feedback on the answer, to a policy that
    imitates the answer how good it is. None where there is nothing to tell."""

    @property
    def generated(self) -> int:
        return sum(self.trace.mask)

    @property
    def prompt(self) -> tuple[int, ...]:
        """What comes before the first generated token."""
        return self.trace.ids[: self.trace.mask.index(True)] if True in self.trace.mask else self.trace.ids

    @property
    def log_probs(self) -> list[float]:
        """The sampler's, of the generated tokens."""
        pairs = zip(self.trace.log_probs, self.trace.mask, strict=True)
        return [value for value, generated in pairs if generated]

    def as_told(self) -> Sample:
        """The same generation after what is told in the place of the prompt."""
        if self.told_prompt is None or not self.generated:
            return self
        start = self.trace.mask.index(True)
        prompt = self.told_prompt
        trace = TokenTrace(
            ids=prompt + self.trace.ids[start:],
            log_probs=(0.0,) * len(prompt) + self.trace.log_probs[start:],
            mask=(False,) * len(prompt) + self.trace.mask[start:],
        )
        return self._replace(trace=trace)


class Tokens(NamedTuple):
    """Sequences side by side, padded on the right."""

    ids_NT: Tensor
    attention_NT: Tensor
    generated_NT: Tensor
    """True on generated tokens."""


def collate(samples: Sequence[Sample], device: torch.device) -> Tokens:
    shape = (len(samples), max(len(sample.trace.ids) for sample in samples))
    ids_NT, attention_NT = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    generated_NT = torch.zeros(shape, dtype=torch.bool)
    for row, (trace, *_) in enumerate(samples):
        length = len(trace.ids)
        ids_NT[row, :length] = torch.tensor(trace.ids)
        attention_NT[row, :length] = 1
        generated_NT[row, :length] = torch.tensor(trace.mask)
    return Tokens(ids_NT.to(device), attention_NT.to(device), generated_NT.to(device))


def lengths_to_pack(samples: Sequence[Sample]) -> list[int]:
    """The length of each sample. Those of one prompt are all as long as the longest of them, so that they
    share a pass, which reads the prompt once; not so where padding them costs more than the prompt."""
    lengths = [len(sample.trace.ids) for sample in samples]
    siblings: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for place, sample in enumerate(samples):
        siblings[sample.prompt].append(place)
    for prompt, places in siblings.items():
        longest = max(lengths[place] for place in places)
        padding = sum(longest - lengths[place] for place in places)
        if padding <= len(prompt) * (len(places) - 1):
            for place in places:
                lengths[place] = longest
    return lengths


def packed(lengths: Sequence[int], tokens: int, together: int = 1) -> Iterator[list[int]]:
    """Places of sequences of similar length, as many as fit into `tokens` with their padding.

    `together` successive ones are never parted, nor is one sequence, however long.
    """
    blocks = [range(start, start + together) for start in range(0, len(lengths), together)]
    blocks.sort(key=lambda block: max(lengths[place] for place in block), reverse=True)
    while blocks:
        width = max(lengths[place] for place in blocks[0])
        fits = max(1, tokens // (width * together))
        yield [place for block in blocks[:fits] for place in block]
        blocks = blocks[fits:]
