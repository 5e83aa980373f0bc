"""A session on a machine with a metadata service and a name server, in a network that holds nothing else.

`unshare --net python -m tests.attacks.metadata_service <backend>`
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import sys
from contextlib import suppress
from pathlib import Path

from palaestra.sandbox.base import CellLimits
from palaestra.sandbox.worker_sandbox import WorkerSandbox
from tests.attacks import watch
from tests.attacks.backends import launcher

ADDRESS, LOOPBACK = "169.254.169.254", "127.0.0.1"
SIOCSIFADDR, SIOCSIFFLAGS, IFF_UP = 0x8916, 0x8914, 1
CELL = f"""
import ctypes, os, socket
os.environ["RES_OPTIONS"] = "timeout:1 attempts:1"  # nobody answers
answer = ctypes.create_string_buffer(512)
for ask in (
    lambda: socket.getaddrinfo("metadata.google.internal", 80),
    lambda: ctypes.CDLL(None).res_query(b"metadata.google.internal", 1, 1, answer, 512),
    lambda: ctypes.CDLL("libresolv.so.2").res_query(b"metadata.google.internal", 1, 1, answer, 512),
):
    try:
        ask()
    except (OSError, AttributeError):
        pass
socket.create_connection(({ADDRESS!r}, 80), timeout=1)
"""


async def main(backend: str) -> None:
    _add_addresses(ADDRESS, name_server := _name_server())
    with (
        watch.listener(socket.AF_INET, (ADDRESS, 80)) as listening,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as names,
    ):
        names.bind((name_server, 53))
        names.setblocking(False)
        sandbox = WorkerSandbox(launcher(backend), CellLimits(seconds=20), {})
        await sandbox.start()
        print((await sandbox.run(CELL)).stdout)
        await sandbox.close()
        if watch.was_reached(listening):
            print("reached")
        with suppress(BlockingIOError):
            names.recv(1)
            print("asked")


def _name_server() -> str:
    """The first that the C library asks."""
    with suppress(OSError):
        for line in Path("/etc/resolv.conf").read_text().splitlines():
            if line.startswith("nameserver ") and ":" not in line:
                return line.split()[1]
    return LOOPBACK


def _add_addresses(*addresses: str) -> None:
    """Switch the loopback interface on, and give it these addresses besides its own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        for number, address in enumerate(dict.fromkeys((LOOPBACK, *addresses))):
            name = f"lo:{number}".encode() if number else b"lo"
            packed = struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))
            fcntl.ioctl(way, SIOCSIFADDR, struct.pack("16s16s", name, packed))
            fcntl.ioctl(way, SIOCSIFFLAGS, struct.pack("16sH14x", name, IFF_UP))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
