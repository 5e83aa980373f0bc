"""The network: every listener stands on this machine and belongs to the test."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.attacks import watch
from tests.attacks.attack import Target, attack

REPOSITORY = Path(__file__).parents[2]
LOOPBACK = "127.0.0.1"
SENDING = """
def send(family, kind, protocol, address, data=b"breach"):
    with socket.socket(family, kind, protocol) as way:
        way.settimeout(1)
        way.connect(address)
        way.send(data)
"""

TO_A_PORT = {
    "TCP": "send(socket.AF_INET, socket.SOCK_STREAM, 0, ('127.0.0.1', PORT))",
    "TCP to 0.0.0.0": "send(socket.AF_INET, socket.SOCK_STREAM, 0, ('0.0.0.0', PORT))",
    "TCP in IPv6 clothes": "send(socket.AF_INET6, socket.SOCK_STREAM, 0, ('::ffff:127.0.0.1', PORT))",
    "TCP without connect": (
        "socket.socket().sendto(b'breach', 0x20000000, ('127.0.0.1', PORT))"  # MSG_FASTOPEN
    ),
    "multipath TCP": "send(socket.AF_INET, socket.SOCK_STREAM, 262, ('127.0.0.1', PORT))",
    "a library": "__import__('urllib.request').request.urlopen('http://127.0.0.1:PORT', timeout=1)",
    "asyncio": "__import__('asyncio').run(__import__('asyncio').open_connection('127.0.0.1', PORT))",
}


@pytest.mark.parametrize("way", TO_A_PORT)
@attack(14, "connects to a listener on loopback")
async def test_tcp(target: Target, way: str) -> bool:
    with watch.listener(socket.AF_INET, (LOOPBACK, 0)) as listening:
        port = str(listening.getsockname()[1])
        await target.run(SENDING + TO_A_PORT[way].replace("PORT", port))
        return watch.was_reached(listening)


@attack(14, "connects to a listener on IPv6 loopback")
async def test_tcp6(target: Target) -> bool:
    with watch.listener(socket.AF_INET6, ("::1", 0)) as listening:
        port = listening.getsockname()[1]
        await target.run(f"{SENDING}send(socket.AF_INET6, socket.SOCK_STREAM, 0, ('::1', {port}))")
        return watch.was_reached(listening)


@attack(15, "sends a datagram, as a name lookup does")
async def test_udp(target: Target) -> bool:
    with watch.listener(socket.AF_INET, (LOOPBACK, 0), socket.SOCK_DGRAM) as listening:
        port = listening.getsockname()[1]
        await target.run(f"{SENDING}send(socket.AF_INET, socket.SOCK_DGRAM, 0, ('127.0.0.1', {port}))")
        return watch.was_reached(listening)


@attack(14, "listens where the host can connect to it")
async def test_listen(target: Target) -> bool:
    code = """
kept = socket.create_server(("0.0.0.0", 0))
kept.getsockname()[1]"""
    async with target.session() as session:
        port = (await session.run(code)).value
        if not port:
            return False
        with socket.socket() as way:
            return way.connect_ex((LOOPBACK, int(port))) == 0


@pytest.mark.parametrize("kind", ["path", "abstract name"])
@attack(17, "connects to a Unix socket of the host")
async def test_unix_socket(target: Target, kind: str) -> bool:
    path = str(target.folder / "listener")
    address = path if kind == "path" else f"\0{path}"
    with watch.listener(socket.AF_UNIX, address) as listening:
        await target.run(f"{SENDING}send(socket.AF_UNIX, socket.SOCK_STREAM, 0, {address!r})")
        return watch.was_reached(listening)


@attack(17, "sends to a Unix socket of the host without connecting, from one end of a pair")
async def test_unix_datagram(target: Target) -> bool:
    path = str(target.folder / "listener")
    with watch.listener(socket.AF_UNIX, path, socket.SOCK_DGRAM) as listening:
        listening_name = repr(path)
        code = (
            f"pair = socket.socketpair(type=socket.SOCK_DGRAM)\npair[0].sendto(b'breach', {listening_name})"
        )
        os.chmod(path, 0o777)
        await target.run(code)
        return watch.was_reached(listening)


FAMILIES = {
    "IPv4": "socket.AF_INET, socket.SOCK_STREAM",
    "IPv6": "socket.AF_INET6, socket.SOCK_DGRAM",
    "netlink": "socket.AF_NETLINK, socket.SOCK_RAW",
    "packet": "socket.AF_PACKET, socket.SOCK_RAW",
    "vsock": "socket.AF_VSOCK, socket.SOCK_STREAM",
    "crypto": "socket.AF_ALG, socket.SOCK_SEQPACKET",
    "raw ICMP": "socket.AF_INET, socket.SOCK_RAW, 1",
    "ICMP": "socket.AF_INET, socket.SOCK_DGRAM, 1",
    "bluetooth": "31, socket.SOCK_RAW",
    "XDP": "44, socket.SOCK_RAW",
}


@attack(18, "opens a socket of any of ten families")
async def test_families(target: Target) -> bool:
    tried = "\n".join(
        f"print(works(lambda: kept.append(socket.socket({each}))))" for each in FAMILIES.values()
    )
    async with target.session() as session:
        return "True" in (await session.run(f"kept = []\n{tried}\nkept.clear()")).stdout


@attack(19, "finds the host's proxy in its environment", on_unsafe="stopped")
async def test_proxies(target: Target, monkeypatch: pytest.MonkeyPatch) -> bool:
    for name in ("http_proxy", "HTTPS_PROXY", "ALL_PROXY", "SSH_AUTH_SOCK", "DBUS_SESSION_BUS_ADDRESS"):
        monkeypatch.setenv(name, f"http://{target.secret}")
    return target.leaked(await target.run("os.environ, __import__('urllib.request').request.getproxies()"))


@attack(16, "asks the machine's metadata service")
async def test_metadata_service(target: Target) -> bool:
    return "reached" in _in_a_network_of_its_own(target.backend)


@attack(15, "looks a name up")
async def test_name_lookup(target: Target) -> bool:
    return "asked" in _in_a_network_of_its_own(target.backend)


def _in_a_network_of_its_own(backend: str) -> str:
    """Run this file there: a network namespace where the address of clouds' metadata services is ours."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("there is no unshare(1) to make a network namespace with")
    words = [unshare, "--net", *([] if os.geteuid() == 0 else ["--map-current-user", "--keep-caps"])]
    done = subprocess.run(
        [*words, sys.executable, "-m", "tests.attacks.metadata_service", backend],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=watch.HANG_SECONDS,
    )  # fmt: skip
    if done.returncode != 0 and "unshare failed" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    return done.stdout
