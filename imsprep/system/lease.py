"""Leases: whether a program has a file open for writing, or mapped so that it could write.

A store through a mapping into a page that is dirty already changes no time stamp of the file, so
that comparing times does not notice it. A *read lease* (fcntl(2), F_SETLEASE with F_RDLCK) is
refused with EAGAIN for as long as a program could write. It is asked for and given back at once:
one that is held would make a program that opens the file for writing wait. Should one come just
then, the kernel sends SIGURG, which does nothing without a handler, instead of SIGIO, which kills.

Network file systems answer EAGAIN for reasons of their own, and know nothing of writers elsewhere.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
import time
from collections.abc import Iterator
from typing import NamedTuple

from imsprep.system.mounts import file_system

NONE, SOME, UNKNOWN = "none", "some", "unknown"

# File systems of this machine alone, where the kernel itself counts who may write. An overlay is
# not: a mapping keeps the file below it open, and not its own.
LOCAL = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "tmpfs", "f2fs", "jfs", "reiserfs", "bcachefs"}
    | {"vfat", "exfat", "ntfs3"}
)
_COUNTS_OPENERS = LOCAL | {"overlay"}  # where EAGAIN says that a program has it open for writing

_TRIES, _PAUSE_S = 4, 0.05  # a program may just be closing the file
_WRITABLE = os.O_WRONLY | os.O_RDWR


class Writers(NamedTuple):
    """Who may write to a file: NONE, SOME or UNKNOWN, and who it is, or why it is not known."""

    state: str
    why: str = ""


def writers(file: int) -> Writers:
    """Return whether the open file could be written to by anybody; `file` is open for reading."""
    if stat.S_ISBLK(os.fstat(file).st_mode):
        return Writers(UNKNOWN, "of a device only mounts and other exclusive uses are seen")
    kind = file_system(file)
    for _ in range(_TRIES):
        problem = _ask(file)
        if problem != errno.EAGAIN or kind not in _COUNTS_OPENERS:
            break
        time.sleep(_PAUSE_S)
    if problem == errno.EAGAIN and kind in _COUNTS_OPENERS:
        return Writers(SOME, ", ".join(_holders(file)))
    if problem == 0 and kind in LOCAL:
        return Writers(NONE)
    return Writers(UNKNOWN, _why_unknown(problem, kind))


def _ask(file: int) -> int:
    """Take a read lease and give it back; return 0, or the error's number."""
    try:
        import fcntl
    except ImportError:
        return errno.ENOSYS
    if not hasattr(fcntl, "F_SETLEASE"):
        return errno.ENOSYS
    try:
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return error.errno or errno.EINVAL
    with contextlib.suppress(OSError):  # another thread has given it back already
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return 0


def _why_unknown(problem: int, kind: str) -> str:
    if problem == errno.EACCES:
        return "only the owner of the file may ask for a lease"
    if problem == errno.ENOSYS:
        return "this system has no leases"
    return f"{kind or 'this file system'} does not report it"


def _holders(file: int) -> Iterator[str]:
    """Yield the programs that have the file open for writing, as far as /proc shows them."""
    of = os.fstat(file)
    for process in filter(str.isdigit, _listed("/proc")):
        for number in _listed(f"/proc/{process}/fd"):
            with contextlib.suppress(OSError, ValueError):
                found = os.stat(f"/proc/{process}/fd/{number}")
                if (found.st_dev, found.st_ino) == (of.st_dev, of.st_ino) and _may_write(
                    process, number
                ):
                    yield f"{_name(process)} (process {process})"
                    break


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _may_write(process: str, number: str) -> bool:
    with open(f"/proc/{process}/fdinfo/{number}", encoding="utf-8") as info:
        fields = dict(line.split(":", 1) for line in info if ":" in line)
    return bool(int(fields.get("flags", "0"), 8) & _WRITABLE)


def _name(process: str) -> str:
    with open(f"/proc/{process}/comm", encoding="utf-8", errors="replace") as name:
        text = name.read().strip()
    return "".join(c if c.isprintable() else "?" for c in text)
