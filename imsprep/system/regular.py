"""Regular files: reading the sidecars of an image whole, without blocking, trusting no name.

The name of a bitmap or manifest may belong to a FIFO. Opening one blocks until another process
opens it for writing, which may be never.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from imsprep.errors import ReadError, show_path

BINARY: int = getattr(os, "O_BINARY", 0)  # without it Windows changes line ends
NO_LINK: int = getattr(os, "O_NOFOLLOW", 0)  # a symbolic link is refused, where that can be asked
# O_NONBLOCK: a FIFO must be refused, not waited for.
READING: int = os.O_RDONLY | BINARY | getattr(os, "O_NONBLOCK", 0)


def read_plain(path: Path, *, limit: int | None = None) -> bytes:
    """Return the bytes of a file; ReadError if it is none but a pipe, a device or a folder.

    Also if it has more than `limit` bytes. Raises OSError where there is nothing, or nothing that
    can be read.
    """
    file = os.open(path, READING)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise ReadError(f"cannot read {show_path(path)}: it is not a regular file; move it away")
    with os.fdopen(file, "rb") as opened:
        data = opened.read() if limit is None else opened.read(limit + 1)
    if limit is not None and len(data) > limit:
        raise ReadError(f"cannot read {show_path(path)}: it has more than {limit} bytes")
    return data


def file_name(value: object) -> str:
    """Return a name that a record gives of a file in its own folder; ValueError for all else."""
    if not isinstance(value, str) or value in ("", ".", "..") or set(value) & {"/", os.sep, "\0"}:
        raise ValueError(f"{value!r} is not the name of a file")
    return value
