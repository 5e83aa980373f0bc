"""What code in a sandbox should not be able to do, tried in the plainest way.

Standard library only: the peers' environment imports it too. This is not the suite of tests/attacks, but a
few lines that can be put to any executor.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

SECRET = secrets.token_hex(8)
"""In a variable of this process, where code of another one cannot find it."""


def plant() -> None:
    """Put the secret into the environment of this process; before the executor starts."""
    os.environ["BENCHMARK_SECRET"] = SECRET


def count_escapes(run: Callable[[str], str]) -> dict[str, bool]:
    """Whether each probe got through; `run` executes code and gives what it printed, errors included.

    Only what this process sees counts: a secret in the output, a changed file, a connection, a signal.
    """
    got: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: got.append(number))
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as listener:
        canary = Path(folder, "canary")
        canary.write_text(SECRET)
        Path(folder).chmod(0o755)
        canary.chmod(0o666)
        listener.setblocking(False)
        port = listener.getsockname()[1]
        attempts: dict[str, tuple[str, Callable[[str], bool]]] = {
            "reads a file": (f"print(open({str(canary)!r}).read())", has_secret),
            "reads the environment": ("import os\nprint(dict(os.environ))", has_secret),
            "reads the host's memory": (
                "import sys\nprint([vars(m).get('SECRET') for m in list(sys.modules.values())])",
                has_secret,
            ),
            "writes a file": (
                f"open({str(canary)!r}, 'a').write('x')",
                lambda _: canary.read_text() != SECRET,
            ),
            "connects": (
                f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)",
                lambda _: accepts(listener),
            ),
            "runs a program": (
                "import subprocess\nprint(subprocess.check_output(['/bin/sh', '-c', 'echo $((41 * 1001))']))",
                lambda printed: "41041" in printed,
            ),
            "signals the host": (f"import os\nos.kill({os.getpid()}, {signal.SIGUSR1})", lambda _: bool(got)),
            "sees the host's processes": (
                f"import os\nprint('seen' if '{os.getpid()}' in os.listdir('/proc') else '')",
                lambda printed: "seen" in printed.splitlines(),
            ),
        }
        found = {name: judge(run(code)) for name, (code, judge) in attempts.items()}
    signal.signal(signal.SIGUSR1, before)
    return found


def has_secret(printed: str) -> bool:
    return SECRET in printed


def accepts(listener: socket.socket) -> bool:
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True
