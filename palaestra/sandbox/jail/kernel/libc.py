"""Calls into the C library and the kernel; a failure is an OSError that names the call."""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Any

from palaestra.sandbox.jail.kernel.system_calls import number

# PyDLL keeps the interpreter's lock: `clone` must not hand it to anybody on its way into the new process.
_LIBRARY = ctypes.PyDLL(None, use_errno=True)

Argument = int | bytes | ctypes.Array[Any] | ctypes.Structure | None


def system_call(name: str, *arguments: Argument) -> int:
    wanted = number(name)
    if wanted is None:
        raise OSError(errno.ENOSYS, f"{name}: {os.strerror(errno.ENOSYS)}")
    return _checked(name, _LIBRARY.syscall(ctypes.c_long(wanted), *map(_as_c, arguments)))


def library_call(name: str, *arguments: Argument) -> int:
    """A call whose wrapper in the C library does more, or reads more easily, than the system call."""
    return _checked(name, getattr(_LIBRARY, name)(*map(_as_c, arguments)))


def _as_c(argument: Argument) -> Any:
    if isinstance(argument, int):
        return ctypes.c_long(argument)
    if isinstance(argument, ctypes.Structure):
        return ctypes.byref(argument)
    return argument


def _checked(name: str, result: int) -> int:
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result
