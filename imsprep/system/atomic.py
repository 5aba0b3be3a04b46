"""Files that appear under their names only when they are whole.

A writer gets a temporary name in the same folder; it is flushed and renamed at the end, or removed
when anything went wrong. A crash leaves the old file or the new one, and at worst a temporary file
whose name starts with a dot and ends with `.part`, which nothing ever takes for the real one.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from imsprep.errors import ReadError, show_path
from imsprep.system.regular import BINARY, NO_LINK, READING

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | BINARY

# What `writing` calls its files: a dot, the name or its beginning, and 16 digits.
_PART = re.compile(r"\.(.{1,58})\.[0-9a-f]{16}\.part", re.DOTALL)

_UMASK_LOCK = threading.Lock()

try:
    import fcntl
except ImportError:  # pragma: no cover - without flock nothing counts as left over
    fcntl = None  # type: ignore[assignment]  # Windows has none


@contextlib.contextmanager
def writing(path: Path, *, parents: bool = False) -> Iterator[IO[bytes]]:
    """Open `path` for writing, binary and seekable; it is replaced when the block ends well.

    What a killed process left of the same file is removed first; `parents` has missing folders
    made.

    Raises ReadError if the folder cannot be written or the disk is full, or if `path` is a device
    or a pipe: to root, a file in its place would be the end of /dev/null.
    """
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise ReadError(
            f"cannot write {show_path(path)}: it is not a regular file; name another one"
        )
    # Named before it is made: a signal may arrive between the two, and nothing must be left over.
    # A name has 255 bytes, a character four, and what is added to it 23.
    name = path.parent / f".{path.name[:58]}.{os.urandom(8).hex()}.part"
    for left in leftovers(path.parent, path.name):
        remove(left)
    try:
        with os.fdopen(_new(name, parents), "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise ReadError.from_os(error, "cannot write", path) from error
    finally:
        with contextlib.suppress(OSError):  # it has its name, or was never made
            os.unlink(name)


def leftovers(folder: Path, name: str | None = None) -> list[Path]:
    """Return the files in a folder that a killed `writing` left, of one file or of all.

    A file is held by a lock while it is written, which ends with the process. Where the file system
    knows no locks, nothing counts as left over.
    """
    wanted = None if name is None else name[:58]
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    matches = (_PART.fullmatch(found) for found in sorted(names))
    parts = [folder / m[0] for m in matches if m and wanted in (None, m[1])]
    return [part for part in parts if _is_abandoned(part)]


def remove(part: Path) -> None:
    """Remove a file that `leftovers` found, unless it is being written; errors are let pass."""
    file = _held(part)
    if file is not None:
        with contextlib.suppress(OSError):
            os.unlink(part)
        os.close(file)


def _is_abandoned(part: Path) -> bool:
    file = _held(part)
    if file is None:
        return False
    os.close(file)
    return True


def _held(part: Path) -> int | None:
    """Return a file, open and locked; None if a process writes it, or nothing can be locked."""
    try:
        file = os.open(part, READING | NO_LINK)
    except OSError:
        return None
    if fcntl is not None:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
    os.close(file)
    return None


def _new(name: Path, parents: bool) -> int:
    """Make a new file and lock it; another process may take an empty folder or it away meanwhile.

    It is so for an instant only: until the file is locked it looks like one that was left over.
    """
    for _ in range(100):
        if parents:
            name.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = os.open(name, _NEW, 0o600)
        except FileNotFoundError:
            if parents:
                continue
            raise
        if fcntl is not None:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file).st_nlink:
            return file
        os.close(file)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file at once, atomically."""
    with writing(path) as file:
        file.write(data)


def write_json(path: Path, value: object) -> None:
    """Write `value` as JSON, atomically."""
    write_bytes(path, as_json(value))


def as_json(value: object) -> bytes:
    """Return `value` as the JSON that is written: keys in order, the same bytes for the same."""
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable; where folders cannot be synced, go without."""
    with contextlib.suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


@functools.cache
def _umask() -> int:
    """Return the process's umask, which can only be read by setting it: once, and by one thread."""
    with _UMASK_LOCK:
        mask = os.umask(0o077)
        os.umask(mask)
    return mask
