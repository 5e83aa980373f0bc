"""A bad setting is told in plain words: which one, what was given, what is allowed, and where it was set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pytest
from pydantic import BeforeValidator, Field, model_validator

from palaestra.core.config import VerbConfig, resolve, validate
from palaestra.core.config_errors import known_keys
from palaestra.core.errors import ConfigError
from palaestra.core.record import Record


class Circle(Record):
    name: Literal["circle"] = "circle"
    radius: float = Field(default=1.0, gt=0)


class Box(Record):
    name: Literal["box"] = "box"
    width: float = 1.0
    heights: tuple[float, ...] = Field(default=(1.0,), min_length=1)


def from_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class Pen(Record):
    color: str = "black"
    width: float = 1.0


class Drawing(VerbConfig):
    shape: Annotated[Circle | Box, Field(discriminator="name"), BeforeValidator(from_name)] = Circle()
    pen: Pen = Pen()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.shape.name == "box" and self.pen.color == "red":
            raise ValueError("a red pen draws no box; take another color")
        return self


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("shape=ball", "shape.name is 'ball', but should be one of 'circle', 'box'"),
        ("shape.name=ball", "shape.name is 'ball', but should be one of 'circle', 'box'"),
        ("shape=boxx", "shape.name is 'boxx', but should be one of 'circle', 'box'; did you mean 'box'?"),
        (
            "shape={width: 3}",
            "the setting 'shape.name' is missing; give it in the file, as a flag or as shape.name=…",
        ),
        ("shape=3", "shape is 3, but should be a group of settings"),
        ("shape={name: circle, radius: -1}", "shape.radius is -1, but should be greater than 0"),
        ("shape={name: box, width: wide}", "shape.width is 'wide', but should be a valid number"),
        ("shape={name: box, heights: []}", "shape.heights is [], but should have at least 1 item"),
        ("shape={name: box, heights: [1, x]}", "shape.heights.1 is 'x', but should be a valid number"),
        ("shape={name: circle, radios: 1}", "unknown setting 'shape.radios', did you mean 'shape.radius'?"),
        ("pen.colour=red", "unknown setting 'pen.colour', did you mean 'pen.color'?"),
        ("color=red", "unknown setting 'color', did you mean 'pen.color'?"),
        (
            "shape={name: circle, height: 1}",
            "unknown setting 'shape.height'; --dry-run prints the known ones",
        ),
        ("seed=1.5", "seed is 1.5, but should be a valid integer"),
    ],
)
def test_what_is_wrong_is_told_in_plain_words(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(Drawing, None, [override])
    assert str(caught.value) == f"the command line: {message}"


def test_a_setting_is_blamed_on_the_place_where_it_was_given(tmp_path: Path) -> None:
    file = tmp_path / "drawing.yaml"
    file.write_text("seed: x\nshape: {name: circle, radius: 0}\nlimit: 3\n")
    with pytest.raises(ConfigError) as caught:
        resolve(Drawing, file, ["limit=0", "pen.width=thin"])
    assert str(caught.value) == (
        f"{file}: seed is 'x', but should be a valid integer; "
        "the command line: limit is 0, but should be greater than or equal to 1; "
        f"{file}: shape.radius is 0, but should be greater than 0; "
        "the command line: pen.width is 'thin', but should be a valid number"
    )


def test_settings_that_do_not_go_together_come_from_all_places(tmp_path: Path) -> None:
    conflict = "a red pen draws no box; take another color"
    file = tmp_path / "drawing.yaml"
    file.write_text("pen: {color: red}\nshape: circle\n")
    with pytest.raises(ConfigError) as caught:
        resolve(Drawing, file, ["shape=box"])
    assert str(caught.value) == f"{file} and the command line: {conflict}"
    with pytest.raises(ConfigError) as caught:
        validate(Drawing, {"pen": {"color": "red"}, "shape": "box"}, source="the drawing")
    assert str(caught.value) == f"the drawing: {conflict}"


def test_known_keys_reach_into_groups() -> None:
    assert known_keys(Drawing)[-4:] == ["shape", "pen", "pen.color", "pen.width"]
