import asyncio
import subprocess
import sys

import pytest

from palaestra.core.errors import ConfigError
from palaestra.sandbox.base import CellLimits
from palaestra.sandbox.registry import SandboxConfig, sandbox_factory


def test_an_unknown_backend_is_told_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="no sandbox backend 'jial'; choose one of process"):
        sandbox_factory(SandboxConfig(backend="jial"))


def test_the_limits_of_the_configuration_hold() -> None:
    async def body() -> None:
        config = SandboxConfig(limits=CellLimits(seconds=0.3, output_chars=100))
        sandbox = sandbox_factory(config)({})
        await sandbox.start()
        assert len((await sandbox.run("print('x' * 1_000)")).stdout) <= 100
        assert (await sandbox.run("while True: pass")).status == "timeout"
        await sandbox.close()

    asyncio.run(body())


def test_one_line_warns_that_the_process_backend_does_not_isolate() -> None:
    code = (
        "from palaestra.sandbox.registry import SandboxConfig, sandbox_factory\n"
        "for _ in range(3): sandbox_factory(SandboxConfig())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.count("\n") == 1
    assert "does not isolate" in done.stderr
