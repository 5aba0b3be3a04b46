"""Unpack a disk into a sparse RAW file: threads read, write and read back piece by piece.

Pages of 4 KiB that are zeros are not written, so that they take no space.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from imsprep.errors import ReadError
from imsprep.image.archive.stream import StreamDisk
from imsprep.image.disk import ByteExtent, Disk
from imsprep.system.positioned import read_at, write_at
from imsprep.system.threads import Workers
from imsprep.system.writeback import WriteBehind
from imsprep.units import KIB, MIB

MEMORY = 192 * MIB
_COPIES = 3  # of a piece in a thread: read, as bytes, and read back
_PAGE = 4 * KIB
PIECE = 2 * MIB  # bytes of a disk that are brought at once

Piece = tuple[int, int]  # offset and length, bytes


def unpack_disk(
    disk: Disk,
    extents: Iterable[ByteExtent],
    file: int,
    *,
    jobs: int,
    progress: Callable[[int], None],
) -> None:
    """Write what is data in `extents` to an empty file, and read it back.

    `progress` is called with bytes of the disk. Raises what reading the disk raises, and ReadError
    if something does not read back.
    """
    known = not isinstance(disk, StreamDisk)
    if known:
        os.ftruncate(file, disk.size)
    jobs = max(1, min(jobs, MEMORY // (_COPIES * PIECE)))
    passed = 0

    def copy(piece: Piece) -> int:
        data = bytearray(piece[1])
        disk.pread_into(piece[0], memoryview(data))
        whole = bytes(data)
        bring(file, whole, runs_of_data(whole), piece[0])
        return piece[0]

    def growing(extents: Iterable[ByteExtent]) -> Iterator[ByteExtent]:
        for extent in extents:
            os.ftruncate(file, extent[0] + extent[1])
            yield extent

    with WriteBehind(file) as behind, Workers(jobs) as workers:
        for position in workers.map(copy, _pieces(extents if known else growing(extents))):
            behind.done(position)
            progress(position - passed)
            passed = position
    progress(disk.size - passed)
    if os.fstat(file).st_size != disk.size:
        raise ReadError("what was written does not have the disk's size; run again")


def _pieces(extents: Iterable[ByteExtent]) -> Iterator[Piece]:
    """Yield what is data, in pieces that end where one of the disk's blocks of 2 MiB does."""
    for offset, length, is_data in extents:
        end = offset + length if is_data else offset
        while offset < end:
            stop = min(end, (offset // PIECE + 1) * PIECE)
            yield offset, stop - offset
            offset = stop


def bring(file: int, data: bytes, runs: list[tuple[int, int]], offset: int) -> None:
    """Write what is not zeros of a piece, and read it back; for any number of threads."""
    for start, stop in runs:
        write_at(file, [memoryview(data)[start:stop]], offset + start)
    if read_at(file, len(data), offset) != data:
        raise ReadError(
            f"what was written does not read back: {len(data)} bytes at byte {offset} of the disk;"
            " memory or disk may be faulty, see the system log, and run again"
        )


def runs_of_data(data: bytes) -> list[tuple[int, int]]:
    """Return start and stop of each run of pages that are not zeros."""
    whole = len(data) // _PAGE * _PAGE
    flags = np.frombuffer(data, np.uint64, whole // 8).reshape(-1, _PAGE // 8).any(axis=1)
    flags = np.append(flags, any(data[whole:]))
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False)) * _PAGE
    return [
        (int(start), min(int(stop), len(data)))
        for start, stop in zip(edges[::2], edges[1::2], strict=True)
    ]
