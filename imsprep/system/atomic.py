"""Files that appear under their names only when they are whole.

A writer gets a temporary name in the same folder; it is flushed and renamed at the end, or removed
when anything went wrong. A crash leaves the old file or the new one, and at worst a temporary file
whose name starts with a dot and ends with `.part`, which nothing ever takes for the real one.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from imsprep.errors import ReadError, show_path

# O_BINARY: Windows would change line ends.
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)

_UMASK_LOCK = threading.Lock()


@contextlib.contextmanager
def writing(path: Path) -> Iterator[IO[bytes]]:
    """Open `path` for writing, binary and seekable; it is replaced when the block ends well.

    Raises ReadError if the folder cannot be written or the disk is full, or if `path` is a device
    or a pipe: to root, a file in its place would be the end of /dev/null.
    """
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise ReadError(f"cannot write {show_path(path)}: it is no plain file; name another one")
    # Named before it is made: a signal may arrive between the two, and nothing must be left over.
    # A name has 255 bytes, a character four, and what is added to it 23.
    name = path.parent / f".{path.name[:58]}.{os.urandom(8).hex()}.part"
    try:
        with os.fdopen(os.open(name, _NEW, 0o600), "w+b") as file:
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


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file at once, atomically."""
    with writing(path) as file:
        file.write(data)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, atomically."""
    write_bytes(path, as_json(value))


def as_json(value: Any) -> bytes:
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
