"""Make this process one of another system: what only Linux has, or only POSIX, is taken away.

For a process of its own, before imsprep is imported: nothing is put back. Python's own modules and
the libraries are loaded first, as they choose their ways by `sys.platform`.
"""

from __future__ import annotations

import builtins
import errno
import io
import mmap
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

MACOS, WINDOWS = "macos", "windows"

# What macOS does not have, by the "Availability" in the documentation of Python's `os`.
_LINUX = [
    "posix_fadvise",
    "posix_fallocate",
    "fdatasync",
    "copy_file_range",
    "sched_getaffinity",
    "memfd_create",
    "pidfd_open",
    "eventfd",
    "splice",
    "getxattr",
    "setxattr",
    "listxattr",
    "O_DIRECT",
    "O_NOATIME",
    "O_TMPFILE",
    "O_PATH",
    "RWF_NOWAIT",
    "POSIX_FADV_DONTNEED",
    "POSIX_FADV_NORMAL",
    "POSIX_FADV_RANDOM",
    "POSIX_FADV_SEQUENTIAL",
    "POSIX_FADV_WILLNEED",
]
_LINUX_FCNTL = [
    "F_SETLEASE",
    "F_GETLEASE",
    "F_SETSIG",
    "F_OFD_SETLK",
    "F_OFD_GETLK",
    "F_SETPIPE_SZ",
]
_POSIX = [
    "pread",
    "pwrite",
    "preadv",
    "pwritev",
    "readv",
    "writev",
    "SEEK_DATA",
    "SEEK_HOLE",
    "O_NOFOLLOW",
    "O_NONBLOCK",
    "O_DIRECTORY",
    "O_CLOEXEC",
    "O_SYNC",
    "geteuid",
    "getuid",
    "getgid",
    "getegid",
    "sysconf",
    "uname",
    "chown",
    "fchown",
    "mkfifo",
    "setpgid",
    "getpgid",
    "killpg",
    "getloadavg",
]
_POSIX_MODULES = ("fcntl", "resource", "pwd", "grp", "termios")
_POSIX_SIGNALS = [
    "SIGHUP",
    "SIGURG",
    "SIGPROF",
    "SIGALRM",
    "ITIMER_PROF",
    "setitimer",
    "pthread_sigmask",
]


def become(system: str) -> None:
    """Take away what MACOS or WINDOWS does not have."""
    _load_libraries()
    _take(os, _LINUX)
    _take(mmap, [name for name in dir(mmap) if name.startswith("MADV_") and "HUGE" in name])
    _hide_proc()
    import fcntl

    _take(fcntl, _LINUX_FCNTL)
    sys.platform = "darwin"
    if system == WINDOWS:
        _take(os, _POSIX)
        _take(signal, _POSIX_SIGNALS)
        for name in _POSIX_MODULES:
            sys.modules[name] = None  # type: ignore[assignment]  # makes `import` fail
        sys.platform = "win32"


def _load_libraries() -> None:
    import asyncio
    import email.utils
    import multiprocessing
    import platform
    import random
    import secrets
    import shutil
    import ssl
    import subprocess
    import tempfile
    import urllib.request

    import bitarray.util
    import click
    import numpy as np
    import tqdm

    loaded = (asyncio, email.utils, multiprocessing, platform, random, secrets, shutil, ssl)
    assert all((*loaded, subprocess, tempfile, urllib.request, bitarray.util, click, np, tqdm))


def _take(module: Any, names: list[str]) -> None:
    for name in names:
        if hasattr(module, name):
            delattr(module, name)


def _hide_proc() -> None:
    def hidden(call: Callable[..., Any]) -> Callable[..., Any]:
        def opens(path: Any, *args: Any, **kwargs: Any) -> Any:
            text = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
            if text.startswith(("/proc", "/sys")):
                raise FileNotFoundError(errno.ENOENT, "No such file or directory", text)
            return call(path, *args, **kwargs)

        return opens

    for name in ("open", "stat", "lstat", "listdir", "scandir", "readlink"):
        setattr(os, name, hidden(getattr(os, name)))
    builtins.open = io.open = hidden(io.open)
