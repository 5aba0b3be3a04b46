"""Locks that end with their holder: two imsprep never work on the same thing at the same time.

A lock is a file that is locked with flock(2), which the system takes back at whatever end of the
process, and which Linux also keeps between machines that share an NFS. The file is removed by
its holder, so that nothing is left over. Where a file system knows no locks, nothing is
locked, and it is up to the user to start one imsprep per image.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from imsprep.errors import ReadError, TransferError, show_path
from imsprep.system.regular import NO_LINK

try:
    import fcntl
except ImportError:  # pragma: no cover - where there is no flock, nothing is locked
    fcntl = None  # type: ignore[assignment]  # Windows has none

_PAUSE_S = 1.0  # between two attempts of a waiting process
_NO_LOCKS_HERE = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL)


@contextlib.contextmanager
def locked(
    path: Path,
    what: str,
    *,
    wait_s: float = 0.0,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[None]:
    """Hold the lock file `path` during the block; `what` says in messages what it protects.

    Raises TransferError if another process still holds it after `wait_s`, ReadError if the file
    cannot be made or has something in it.
    """
    waited = 0.0
    while (file := _try(path)) is None:
        if waited >= wait_s:
            raise TransferError(
                f"another imsprep works on {what} (it holds {show_path(path)}); wait until that one"
                " has ended, or end it, and run again"
            )
        sleep(_PAUSE_S)
        waited += _PAUSE_S
    try:
        yield
    finally:
        # Removed while it is held: a process that waits for this very file sees that it is gone.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        os.close(file)


def _try(path: Path) -> int | None:
    """Return the locked file, or None if another holds it."""
    while True:
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | NO_LINK, 0o666)
        except OSError as error:
            raise ReadError.from_os(error, "cannot write", path) from error
        found = os.fstat(file)
        # Ours are empty files, and removed at the end: nothing that is another program's.
        if found.st_size or not stat.S_ISREG(found.st_mode):
            os.close(file)
            raise ReadError(
                f"{show_path(path)} is not a lock file of imsprep, which is an empty file; rename"
                " it"
            )
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return None
        except OSError as error:
            if error.errno not in _NO_LOCKS_HERE:
                os.close(file)
                raise ReadError.from_os(error, "cannot lock", path) from error
        if _is_at(file, path):
            return file
        os.close(file)  # its holder removed it between the two steps: there is a new one, or none


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False
