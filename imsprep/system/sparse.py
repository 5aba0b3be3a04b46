"""Sparse files: write without storing zeros, copy only what is data, list the ranges of data.

A *hole* is a range for which the file system stores nothing and which reads as zeros. Where
SEEK_DATA is missing (or unsupported by the file system) everything counts as data, which costs
space and time but never correctness.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator

from imsprep.system.positioned import read_at, write_at
from imsprep.units import KIB, MIB

_PAGE = 64 * KIB  # zeros are left out in pieces of this size
STEP = 1 * MIB  # bytes copied at once where the kernel cannot copy itself
_ZEROS = bytes(_PAGE)


def write_sparse(file: int, data: bytes | memoryview, position: int = 0) -> int:
    """Write `data` at the end of a file, `position`; pieces that are all zeros become holes.

    Returns the file's new end.
    """
    view = memoryview(data)
    os.ftruncate(file, position + len(view))
    start = 0
    while start < len(view):
        stop = start
        while stop < len(view) and bytes(view[stop : stop + _PAGE]) != _ZEROS[: len(view) - stop]:
            stop += _PAGE
        write_at(file, [view[start:stop]], position + start)
        start = max(stop, start) + (_PAGE if stop < len(view) else 0)
    return position + len(view)


def copy_data(source: int, offset: int, target: int, position: int, length: int) -> None:
    """Copy a range of one file into another whose place is still a hole; holes are not copied."""
    for start, stop in data_ranges(source, offset, length):
        _copy_range(source, start, target, position + start - offset, stop - start)


def data_ranges(file: int, offset: int, length: int) -> Iterator[tuple[int, int]]:
    """Yield start and stop of what is data in a range, in order."""
    end = offset + length
    while offset < end:
        try:
            start = os.lseek(file, offset, os.SEEK_DATA)
            stop = os.lseek(file, start, os.SEEK_HOLE)
        except (AttributeError, OSError) as error:
            if isinstance(error, OSError) and error.errno == errno.ENXIO:
                return  # only a hole is left
            start, stop = offset, end
        if start >= end:
            return
        yield start, min(stop, end)
        offset = stop


def _copy_range(source: int, offset: int, target: int, position: int, length: int) -> None:
    while length > 0:
        try:
            done = os.copy_file_range(source, target, length, offset, position)
        except (AttributeError, OSError):
            data = read_at(source, min(STEP, length), offset)
            write_at(target, [data], position)
            done = len(data)
        if done == 0:
            raise OSError(errno.EIO, "the file was truncated while it was being copied")
        offset, position, length = offset + done, position + done, length - done


def extents(data: Iterable[tuple[int, int]], size: int) -> Iterator[tuple[int, int, bool]]:
    """Yield offset, length (bytes) and whether it is data, of all `size` bytes.

    `data` has start and stop of what is data, in order and apart.
    """
    position = 0
    for start, stop in data:
        if position < start:
            yield position, start - position, False
        yield start, stop - start, True
        position = stop
    if position < size:
        yield position, size - position, False
