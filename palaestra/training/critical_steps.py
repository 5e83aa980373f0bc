"""Where an expert knows better than an amateur: what LightReasoner trains on (arXiv 2510.07962)."""

from __future__ import annotations

from collections.abc import Sequence

from palaestra.training.distributions import ContrastiveLabels
from palaestra.training.samples import Sample
from palaestra.training.scoring import Scorer


class CriticalSteps:
    """Cuts samples down to the tokens before which KL(expert ‖ amateur) is above β."""

    def __init__(self, contrast: ContrastiveLabels, scorer: Scorer, least_divergence: float) -> None:
        self._contrast = contrast
        self._scorer = scorer
        self._least = least_divergence

    def __call__(self, samples: Sequence[Sample]) -> list[Sample]:
        """Samples that carry loss on these tokens alone; one without any is left out."""
        if not samples:
            return []
        critical_NT = self._scorer.expertise(samples, self._contrast) > self._least
        cut = (_cut(sample, row.tolist()) for sample, row in zip(samples, critical_NT, strict=True))
        return [sample for sample in cut if sample.generated]


def _cut(sample: Sample, critical: Sequence[bool]) -> Sample:
    """`critical` tells of each generated token whether it is kept."""
    kept = iter(critical)
    mask = tuple(generated and next(kept) for generated in sample.trace.mask)
    return sample._replace(trace=sample.trace.model_copy(update={"mask": mask}))
