"""A session on a machine with a metadata service: run in a network namespace that holds nothing else.

`unshare --net python -m tests.attacks.metadata_service <backend>`
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import sys

from palaestra.sandbox.base import CellLimits
from palaestra.sandbox.worker_sandbox import WorkerSandbox
from tests.attacks import watch
from tests.attacks.backends import launcher

ADDRESS = "169.254.169.254"
SIOCSIFADDR, SIOCSIFFLAGS, IFF_UP = 0x8916, 0x8914, 1
CELL = f"""
import socket
try:
    print("found", socket.getaddrinfo("metadata.google.internal", 80))
except OSError:
    print("refused")
socket.create_connection(({ADDRESS!r}, 80), timeout=1)
"""


async def main(backend: str) -> None:
    _add_address()
    with watch.listener(socket.AF_INET, (ADDRESS, 80)) as listening:
        sandbox = WorkerSandbox(launcher(backend), CellLimits(seconds=20), {})
        await sandbox.start()
        print((await sandbox.run(CELL)).stdout)
        await sandbox.close()
        if watch.was_reached(listening):
            print("reached")


def _add_address() -> None:
    """Switch the loopback interface on, and give it the address of the service besides its own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        for name in (b"lo", b"lo:1"):
            if name == b"lo:1":
                address = struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(ADDRESS))
                fcntl.ioctl(way, SIOCSIFADDR, struct.pack("16s16s", name, address))
            fcntl.ioctl(way, SIOCSIFFLAGS, struct.pack("16sH14x", name, IFF_UP))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
