"""Who teaches in distillation: another model, or the policy's own past when it has seen feedback."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator
from transformers import PreTrainedModel

from palaestra.core.errors import ConfigError
from palaestra.core.record import Record
from palaestra.models.config import ModelConfig
from palaestra.training.adapters import frozen
from palaestra.training.distributions import ContrastiveLabels, Mixture
from palaestra.training.objectives.self_teacher import move_average

TeacherKind = Literal["model", "frozen", "average", "trust-region", "current", "contrast"]
"""model: another one, with the policy's tokenizer. frozen: the start policy. average: a moving average of the
policy. trust-region: start and current policy, mixed in proportion to their logits. current: the policy.
contrast: what the start policy knows better than a weaker model, for light-reasoner."""

OTHERS: tuple[TeacherKind, ...] = ("model", "contrast")
"""Those that take another model, and are no self-teachers."""

HEEDED_BY: Mapping[str, TeacherKind] = {"rate": "average", "share": "trust-region", "plausible": "contrast"}
"""Settings that one kind alone reads."""


class TeacherConfig(Record):
    kind: TeacherKind = "average"
    model: ModelConfig | None = None
    """Of the kind `model`; of the kind `contrast` the amateur. hf/<folder or hub id>."""
    rate: float = Field(default=0.05, gt=0, le=1)
    """η of the moving average, after each step."""
    share: float = Field(default=0.01, ge=0, le=1)
    """The current policy's, in a trust region."""
    plausible: float = Field(default=0.2, gt=0, le=1)
    """α of a contrast: tokens with less than this share of the expert's largest probability are not in its
    labels."""
    success: float = 0.5
    """The reward from which on an answer is shown to a self-teacher, for its siblings."""
    prompt_tokens: int = Field(default=10_240, ge=1)
    """Tokens of what a self-teacher is shown at most. An answer for which it takes more teaches nothing."""

    @model_validator(mode="after")
    def _is_heeded(self) -> TeacherConfig:
        for name, kind in HEEDED_BY.items():
            if self.kind != kind and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"teacher.{name} is of teacher.kind={kind} alone; leave it out")
        return self

    @model_validator(mode="after")
    def _names_its_model(self) -> TeacherConfig:
        if self.kind in OTHERS and self.model is None:
            raise ValueError(f"teacher.kind={self.kind} needs teacher.model: hf/<folder or hub id>")
        if self.kind not in OTHERS and self.model is not None:
            default = "" if "kind" in self.model_fields_set else " (the default)"
            raise ValueError(
                f"teacher.kind={self.kind}{default} takes no teacher.model; teacher.kind=model and "
                "teacher.kind=contrast do"
            )
        if self.model is not None and not self.model.name.startswith("hf/"):
            raise ValueError(f"teacher.model is {self.model.name}; give hf/<folder or hub id>")
        if self.model is not None and (self.model.contrast is not None or self.model.repeat != "none"):
            raise ValueError("a teacher reads on as it is; leave contrast and repeat out of teacher.model")
        return self


class Teacher:
    """What scores the policy's tokens. One that is the policy itself in some form only teaches what it was
    shown in the place of the prompt: without that it has nothing to say."""

    def __init__(
        self, config: TeacherConfig, policy: PreTrainedModel, start: PreTrainedModel | None = None
    ) -> None:
        """`start` is the other model, or the start policy; where none is given, that is the policy as it is
        now, as is the expert of a contrast."""
        self.is_self = config.kind not in OTHERS
        self._policy = policy
        self._rate = config.rate
        self._average: PreTrainedModel | None = None
        self.distribution: Mixture
        match config.kind, start:
            case "model" | "contrast", None:
                raise ConfigError(
                    f"a teacher of the kind {config.kind} needs another model; give teacher.model"
                )
            case "average", _:
                # In 16 bits the small steps of an average would be lost.
                self._average = copy.deepcopy(policy).float().requires_grad_(False)
                self.distribution = Mixture(((self._average, 1.0),))
            case "current", _:
                self.distribution = Mixture(((policy, 1.0),))
            case "trust-region", _:
                before = start or frozen(policy)
                self.distribution = Mixture(((before, 1 - config.share), (policy, config.share)))
            case "contrast", PreTrainedModel():
                self.distribution = ContrastiveLabels.of(frozen(policy), start, config.plausible)
            case _:
                self.distribution = Mixture(((start or frozen(policy), 1.0),))

    def follow(self) -> None:
        """Called after each step of the policy."""
        if self._average is not None:
            move_average(self._average.parameters(), self._policy.parameters(), self._rate)

    def state_dict(self) -> dict[str, Any]:
        return {} if self._average is None else self._average.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if self._average is not None:
            self._average.load_state_dict(state)
