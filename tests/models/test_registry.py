from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import Field

from palaestra.core.config import resolve
from palaestra.core.errors import ConfigError, StoreError
from palaestra.core.record import Record
from palaestra.models.config import ModelConfig
from palaestra.models.registry import load_model


class Roles(Record):
    policy: ModelConfig
    judge: ModelConfig = Field(default=ModelConfig(name="scripted/echo"))


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_bare_name_is_a_model(tmp_path: Path) -> None:
    file = tmp_path / "roles.yaml"
    file.write_text("policy: openai/gpt-5\n")
    assert resolve(Roles, file).policy == ModelConfig(name="openai/gpt-5")
    changed = resolve(Roles, None, ["policy.name=hf/some/model", "policy.timeout=5", "judge=openai/gpt-5"])
    assert (changed.policy.timeout, changed.judge.name) == (5.0, "openai/gpt-5")
    with pytest.raises(ConfigError, match=r"'policy\.nmae', did you mean 'policy\.name'"):
        resolve(Roles, None, ["policy.nmae=x"])
    with pytest.raises(ConfigError, match="api_base"):
        resolve(Roles, None, ["policy.name=openai/m", "policy.api_base=127.0.0.1:8000"])


@pytest.mark.parametrize("name", ["gpt-5", "/gpt-5", "openai/", ""])
def test_a_name_without_a_backend_is_explained(name: str) -> None:
    with pytest.raises(ConfigError, match=r"not of the form backend/model.*scripted/….*openai/gpt-5"):
        load_model(ModelConfig(name=name))


def test_what_does_not_exist_is_named() -> None:
    with pytest.raises(ConfigError, match=r"no scripted model 'oracle'; choose one of.* echo, "):
        load_model(ModelConfig(name="scripted/oracle"))
    with pytest.raises(ConfigError, match="no provider 'acme'"):
        load_model(ModelConfig(name="acme/gpt-5"))
    with pytest.raises(StoreError, match="holds no run"):
        load_model(ModelConfig(name="replay/no/such/run"))


def test_without_torch_the_way_to_install_it_is_told() -> None:
    code = """
import sys
sys.modules["torch"] = None  # what the import system keeps for a module that must not be found
from palaestra.core.errors import ConfigError
from palaestra.models import ModelConfig, load_model
for name in ("hf/some/model", "tiny/some.txt"):
    try:
        load_model(ModelConfig(name=name))
    except ConfigError as error:
        print(error)
"""
    told = run_python(code).splitlines()
    assert len(told) == 2
    assert all("torch, which is not installed: pip install 'palaestra[train]'" in line for line in told)


def test_heavy_libraries_are_imported_by_the_backend_that_needs_them() -> None:
    code = """
import sys
from palaestra.models import CachedModel, Model, ModelConfig, ScriptedModel, load_model
load_model(ModelConfig(name="scripted/echo"))
print([name for name in ("torch", "transformers", "litellm", "openai", "starlette") if name in sys.modules])
"""
    assert run_python(code) == "[]"
