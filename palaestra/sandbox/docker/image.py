"""The image of the containers: this system's Python and the worker, nothing pulled from anywhere.

It is packed from the Python that runs Palaestra: its executable, its standard library and the shared
libraries that these load, all under the paths that they have here; no other package, shell or tool. So it
needs no registry, and cells run the Python that their host runs.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import docker
from docker.errors import APIError

from palaestra.core.errors import SandboxUnavailable
from palaestra.sandbox.docker import supervisor
from palaestra.sandbox.docker.engine import requests_to_engine
from palaestra.sandbox.jail import kernel
from palaestra.sandbox.launcher import WORKER, cloudpickle_folder

REPOSITORY = "palaestra-sandbox"
USER = "50000:50000"
"""A user whom the host most likely does not have: the kernel counts some resources by user."""
PACKAGE = Path(__file__).parents[2]
PARTS = (WORKER, Path(kernel.__file__).parent, Path(supervisor.__file__))
"""What a container needs of Palaestra."""
UNPACKED = (
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "turtledemo",
    "ensurepip",
)
"""Folders of the standard library that no cell needs."""
ZONES = "/usr/share/zoneinfo"
MAIN = "from palaestra.sandbox.docker import supervisor\n\nsupervisor.main()\n"


def image_name() -> str:
    """The name of the image for this Palaestra and this Python; another one when either changes."""
    content = hashlib.sha256(f"{sys.version} {_python()} {version('cloudpickle')}".encode())
    for file in (Path(__file__), *_own_files()):
        content.update(file.relative_to(PACKAGE).as_posix().encode())
        content.update(file.read_bytes())
    return f"{REPOSITORY}:{content.hexdigest()[:12]}"


def build(engine: docker.APIClient) -> str:
    """Make the image and return its name; an image that is there already is made anew.

    Raises:
        SandboxUnavailable: this system's Python cannot be packed, or the engine refuses it.
    """
    name, _, tag = image_name().partition(":")
    with tempfile.TemporaryDirectory(prefix="palaestra-image-") as folder:
        root = Path(folder, "root")
        _fill(root)
        archive = Path(folder, "root.tar")
        with tarfile.open(archive, "w") as tar:
            tar.add(root, ".", filter=_as_roots)
        with requests_to_engine():
            replaced = engine.images(f"{name}:{tag}", quiet=True)
            engine.import_image_from_file(str(archive), repository=name, tag=tag, changes=_settings())
            engine.inspect_image(f"{name}:{tag}")
            for image in replaced:
                with suppress(APIError):  # a container still runs from it
                    engine.remove_image(image)
    return f"{name}:{tag}"


def _fill(root: Path) -> None:
    """Lay out the image's files below `root`."""
    folders = _standard_library()
    for folder in (*folders, ZONES):
        if os.path.isdir(folder) and not _below(root, folder).exists():  # it may lie in an earlier one
            shutil.copytree(folder, _below(root, folder), ignore=_unpacked, ignore_dangling_symlinks=True)
    modules = [str(module) for folder in folders for module in Path(folder).glob("*.so")]
    for program in {_python(), *_libraries(_python(), *modules)}:
        _copy(Path(program), _below(root, program))
    home = _below(root, supervisor.HOME)
    for file in _own_files():
        _copy(file, home / file.relative_to(PACKAGE.parent))
    (home / "__main__.py").write_text(MAIN, encoding="utf-8")
    shutil.copytree(cloudpickle_folder(), _below(root, supervisor.CLOUDPICKLE))
    for empty in ("proc", "sys", "dev", "run", "etc", supervisor.SCRATCH[1:]):
        _below(root, empty).mkdir(exist_ok=True)
    _below(root, supervisor.SCRATCH).chmod(0o1777)  # what is mounted there takes its mode
    _below(root, "etc/passwd").write_text(f"sandbox:x:{USER}::{supervisor.SCRATCH}:/\n", encoding="utf-8")
    _below(root, "tmp").symlink_to(supervisor.SCRATCH)
    # What is compiled already stays so. A file that cannot be compiled is none that a cell could import.
    compiling = [_python(), "-I", "-m", "compileall", "-q", "-s", str(root), "-p", "/", str(root)]
    subprocess.run(compiling, check=False, stdout=subprocess.DEVNULL)


def _python() -> str:
    """The executable itself, not a virtual environment's link to it."""
    return os.path.realpath(sys.executable)


def _settings() -> list[str]:
    """Of the image, as lines of a Dockerfile."""
    return [
        f"ENTRYPOINT {json.dumps([_python(), '-I', '-X', 'utf8', supervisor.HOME])}",
        f"ENV HOME={supervisor.SCRATCH} TMPDIR={supervisor.SCRATCH} MALLOC_ARENA_MAX=2",
        f"WORKDIR {supervisor.SCRATCH}",
        f"USER {USER}",
    ]


def _standard_library() -> list[str]:
    told = subprocess.run(
        [_python(), "-I", "-S", "-c", "import json, sys; print(json.dumps(sys.path))"],
        check=True,
        capture_output=True,
    )
    return [folder for folder in json.loads(told.stdout) if os.path.isdir(folder)]


def _unpacked(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name in UNPACKED or name.startswith(("config-", "sitecustomize."))]


def _libraries(*programs: str) -> Iterator[str]:
    """The shared libraries that these load, and their loader, by the paths under which it looks for them."""
    if shutil.which("ldd") is None:
        raise SandboxUnavailable("the image cannot be made: ldd is missing; install it (Debian: libc-bin)")
    told = subprocess.run(["ldd", *programs], check=False, capture_output=True, text=True).stdout
    yield from (found[1] for found in re.finditer(r"(?:=> |^\s+)(/\S+) \(0x", told, re.MULTILINE))
    with suppress(OSError):  # the C library loads it by itself when a thread ends; musl's does not need it
        ctypes.CDLL("libgcc_s.so.1")
        mapped = Path("/proc/self/maps").read_text()
        yield from re.findall(r"/\S*/libgcc_s\.so\.1$", mapped, re.MULTILINE)[:1]


def _own_files() -> Iterator[Path]:
    for part in PARTS:
        yield from sorted(part.rglob("*.py")) if part.is_dir() else (part,)


def _below(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def _copy(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(file, target)


def _as_roots(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Owned by root and readable by everybody, whatever it is here."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mode |= 0o555 if entry.isdir() or entry.mode & 0o100 else 0o444
    return entry
