"""The check that a container has no network, in a network namespace of the test's own."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import ctypes, fcntl, os, socket, struct, sys
from palaestra.sandbox.docker.supervisor import OUTSIDE, reaches_a_network

NEW_NET, NEW_USER = 0x40000000, 0x10000000
if ctypes.CDLL(None, use_errno=True).unshare(NEW_NET | (NEW_USER if os.getuid() else 0)):
    sys.exit(os.strerror(ctypes.get_errno()))
print(reaches_a_network())
SET_ADDRESS, SET_FLAGS, UP = 0x8916, 0x8914, 1
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
    address = struct.pack("16sHH4s8x", b"lo", socket.AF_INET, 0, socket.inet_aton(OUTSIDE[0]))
    fcntl.ioctl(control, SET_ADDRESS, address)
    fcntl.ioctl(control, SET_FLAGS, struct.pack("16sH14x", b"lo", UP))
print(reaches_a_network())
"""


def test_a_route_to_the_outside_is_noticed() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
