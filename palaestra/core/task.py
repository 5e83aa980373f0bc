"""What an agent is asked to do, and what a judge looks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from palaestra.core.record import Record


class Dimension(Record):
    """One thing that a judge scores."""

    name: str
    description: str
    weight: float = Field(default=1.0, gt=0)
    level: Literal["process", "answer"] = "answer"
    """Whether the dimension is seen in how the agent worked or in what it answered."""


class Rubric(Record):
    name: str = "overall quality"
    instructions: str = ""
    """What the judge is told beside the dimensions."""
    dimensions: tuple[Dimension, ...] = Field(min_length=1)


DEFAULT_RUBRIC = Rubric(
    dimensions=(
        Dimension(name="helpfulness", description="Does what the request asks, all of it and nothing else."),
        Dimension(name="correctness", description="What it states is right and follows from what is given."),
        Dimension(name="clarity", description="Easy to read and to use."),
    )
)


class ContextFile(Record):
    """A context that stays on disk, addressed by its content."""

    path: str
    sha256: str
    characters: int


class Task(Record):
    id: str
    prompt: str
    answer_format: str = ""
    """What is asked of the form of the answer alone; a memory agent is told of it at the end."""
    family: str = "default"
    """Tasks of one kind; batches are balanced over families, and a family may know a programmatic judge."""
    context: str | ContextFile | tuple[str, ...] | Mapping[str, str] | None = None
    """The material that the prompt is about, of any length: a text, a file, or several texts."""
    reference: str | None = None
    """A known good answer."""
    answer_schema: Mapping[str, Any] | None = None
    """JSON schema of the answer, which is then a JSON text, such as a pydantic model's `model_json_schema()`;
    None: any text."""
    rubric: Rubric | None = None
    """None leaves it to the judge's own."""
    metadata: Mapping[str, Any] = Field(default_factory=dict)
    """JSON values; a family's programmatic judge may read them, a model never sees them."""

    @property
    def request(self) -> str:
        """The prompt with what is asked of the answer's form."""
        return f"{self.prompt}\n\n{self.answer_format}" if self.answer_format else self.prompt
