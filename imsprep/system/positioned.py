"""Reading and writing at an offset of an open file.

POSIX has calls for it that leave the file's own offset alone. Windows has none: there the offset
is moved, by one thread at a time.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable

_MOVING = threading.Lock()  # held by who moves a file's offset


def read_at(file: int, length: int, offset: int) -> bytes:
    """Return up to `length` bytes from `offset`; fewer at the end, or if the system gives fewer."""
    if hasattr(os, "pread"):
        return os.pread(file, length, offset)
    with _MOVING:
        os.lseek(file, offset, os.SEEK_SET)
        return os.read(file, length)


def read_into(file: int, buffer: memoryview, offset: int) -> int:
    """Read into a buffer; return the number of bytes, 0 behind the end."""
    if hasattr(os, "preadv"):
        return os.preadv(file, [buffer], offset)
    data = read_at(file, len(buffer), offset)
    buffer[: len(data)] = data
    return len(data)


def write_at(file: int, pieces: Iterable[bytes | memoryview], offset: int) -> None:
    """Write all of the pieces, one behind the other from `offset` on."""
    left = [memoryview(piece) for piece in pieces]
    while left:
        done = _write_some(file, left, offset)
        offset += done
        while left and done >= len(left[0]):
            done -= len(left.pop(0))
        if left:
            left[0] = left[0][done:]


def _write_some(file: int, pieces: list[memoryview], offset: int) -> int:
    if hasattr(os, "pwritev"):
        return os.pwritev(file, pieces, offset)
    with _MOVING:
        os.lseek(file, offset, os.SEEK_SET)
        return os.write(file, pieces[0])
