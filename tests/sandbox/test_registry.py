import asyncio
import subprocess
import sys

import pytest
from pydantic import ValidationError

from palaestra.sandbox.base import CellLimits
from palaestra.sandbox.registry import BACKENDS, SandboxConfig, sandbox_factory


def test_an_unknown_backend_is_told_with_those_there_are() -> None:
    with pytest.raises(ValidationError, match="'jail', 'docker' or 'unsafe'"):
        SandboxConfig.model_validate({"backend": "process"})
    assert set(BACKENDS) == {"jail", "docker", "unsafe"}


def test_the_limits_of_the_configuration_hold() -> None:
    async def body() -> None:
        config = SandboxConfig(backend="unsafe", limits=CellLimits(seconds=0.3, output_chars=100))
        sandbox = sandbox_factory(config)({})
        await sandbox.start()
        assert len((await sandbox.run("print('x' * 1_000)")).stdout) <= 100
        assert (await sandbox.run("while True: pass")).status == "interrupted"
        await sandbox.close()

    asyncio.run(body())


def test_one_line_warns_that_the_unsafe_backend_does_not_isolate() -> None:
    code = (
        "from palaestra.sandbox.registry import SandboxConfig, sandbox_factory\n"
        "for _ in range(3): sandbox_factory(SandboxConfig(backend='unsafe'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.count("\n") == 1
    assert "does not isolate" in done.stderr


def test_backends_are_imported_when_they_are_chosen() -> None:
    code = (
        "import sys\nfrom palaestra.sandbox.registry import SandboxConfig, sandbox_factory\n"
        "sandbox_factory(SandboxConfig(backend='unsafe'))\nassert 'docker' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL, check=True)
