"""Files and overrides become one validated configuration, or one line that says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.cli.options import as_overrides
from palaestra.core.config import VerbConfig, resolve, to_yaml
from palaestra.core.errors import ConfigError
from palaestra.core.record import Record


class Optimizer(Record):
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)


class Config(VerbConfig):
    optimizer: Optimizer = Optimizer()
    model: str | None = None


def test_overrides_win_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("seed: 3\nlimit: 10\noptimizer:\n  learning_rate: 0.1\n")
    config = resolve(Config, file, ["optimizer.betas=[0.5, 0.6]", "limit=null", "model=hf/some path"])
    assert config == Config(
        seed=3, optimizer=Optimizer(learning_rate=0.1, betas=(0.5, 0.6)), model="hf/some path"
    )


def test_an_exponent_without_a_point_is_a_number() -> None:
    assert resolve(Config, None, ["optimizer.learning_rate=1e-5"]).optimizer.learning_rate == 1e-5


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["optimiser.learning_rate=1"], "unknown setting 'optimiser', did you mean 'optimizer'?"),
        (
            ["optimizer.learning_rte=1"],
            "unknown setting 'optimizer.learning_rte', did you mean 'optimizer.learning_rate'?",
        ),
        (["zzz=1"], "unknown setting 'zzz'; --dry-run prints the known ones"),
        (
            ["concurrency=0", "seed=x"],
            "the command line: seed is 'x', but should be a valid integer; "
            "concurrency is 0, but should be greater than or equal to 1",
        ),
        (["seed"], "override 'seed' is not of the form key.sub=value"),
        (["seed=3", "seed.a=4"], "'seed.a' goes into 'seed', which is not a group of settings"),
        (["limit=[1"], "override 'limit=\\[1' is not valid YAML"),
    ],
)
def test_a_bad_override_is_one_clear_line(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        resolve(Config, None, overrides)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"seed: 1\nlimit: [1, 2\n", "line 3"),
        (b"- 1\n- 2\n", "holds a list; it must be a mapping"),
        (b"\xff\xfe\x00", "no UTF-8 text"),
        (b"sead: 1\n", "did you mean 'seed'"),
    ],
)
def test_a_bad_file_is_named_with_what_is_wrong_in_it(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        resolve(Config, file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.yaml"):
        resolve(Config, tmp_path / "no.yaml")


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]) | st.sampled_from("\n\t"))


@given(seed=st.integers(), model=st.none() | TEXTS, learning_rate=st.floats(allow_nan=False))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, seed: int, model: str | None, learning_rate: float
) -> None:
    config = Config(seed=seed, model=model, optimizer=Optimizer(learning_rate=learning_rate))
    file = tmp_path_factory.getbasetemp() / "config.yaml"
    file.write_text(to_yaml(config), encoding="utf-8")
    assert resolve(Config, file) == config


@given(value=TEXTS | st.integers() | st.floats(allow_nan=False) | st.booleans() | st.lists(TEXTS))
def test_flags_keep_their_value_as_overrides(value: object) -> None:
    class Flags(Record):
        group: dict[str, object]

    assert resolve(Flags, None, as_overrides({"group.value": value, "absent": None})).group == {
        "value": value
    }
