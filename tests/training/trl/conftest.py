import os
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest


@pytest.fixture
def in_two_processes() -> Callable[..., list[list[str]]]:
    """Runs a script in two processes of one gloo group; gives the lines that each printed."""

    def run(script: str, *arguments: str, given: str = "") -> list[list[str]]:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        shared = {
            "WORLD_SIZE": "2",
            "LOCAL_WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "ACCELERATE_USE_CPU": "true",
            "OMP_NUM_THREADS": "1",
        }
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", script, *arguments],
                env=os.environ | shared | {"RANK": rank, "LOCAL_RANK": rank},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for rank in ("0", "1")
        ]
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(given)
            process.stdin.close()
        outputs = [process.stdout.read().splitlines() for process in processes if process.stdout]
        assert [process.wait(timeout=300) for process in processes] == [0, 0]
        return outputs

    return run
