"""What the packages promise by name is there, and nothing is loaded before it is asked for."""

import importlib
import subprocess
import sys

import pytest

PACKAGES = ("", ".agents", ".arena", ".datasets", ".models", ".sandbox", ".store", ".training")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_can_be_loaded(package: str) -> None:
    module = importlib.import_module(f"palaestra{package}")
    assert module.__all__
    for name in module.__all__:
        assert getattr(module, name) is not None


def test_importing_the_packages_loads_nothing_heavy() -> None:
    imports = "; ".join(f"import palaestra{package}" for package in PACKAGES)
    heavy = "{'torch', 'transformers', 'litellm', 'langgraph', 'sqlalchemy', 'pyarrow', 'pydantic'}"
    code = f"import sys; {imports}; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
