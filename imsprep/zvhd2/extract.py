"""Unpack a ZVHD2 into a sparse file: threads unpack, write and read back block by block.

Pieces of 4 KiB that are zeros are not written, so that they take no space.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np

from imsprep.errors import ReadError
from imsprep.system.threads import Workers
from imsprep.system.writeback import WriteBehind
from imsprep.units import KIB, MIB
from imsprep.zvhd2.reader import Zvhd2Reader

MEMORY = 192 * MIB
_COPIES = 4  # of a block in a thread: record, block, what is read back, and the codec's own
_PAGE = 4 * KIB


def unpack_disk(
    reader: Zvhd2Reader, file: int, *, jobs: int, progress: Callable[[int], None]
) -> None:
    """Write the disk that was packed to an empty file, and read back what was written.

    `progress` is told bytes of the disk. Raises FormatError for a block that is damaged, and
    ReadError if something does not read back.
    """
    disk = reader.container
    os.ftruncate(file, disk.original_size)
    jobs = max(1, min(jobs, MEMORY // (_COPIES * disk.block_size)))
    blocks = disk.entries["block"]
    told = 0
    with WriteBehind(file) as behind, Workers(jobs) as workers:
        done = workers.map(lambda block: _unpack(reader, int(block), file), blocks)
        for block, _ in zip(blocks, done, strict=True):
            position = int(block) * disk.block_size
            behind.done(position)
            progress(position - told)
            told = position
    progress(disk.original_size - told)
    if os.fstat(file).st_size != disk.original_size:
        raise ReadError("what was written has not the disk's size; run again")


def _unpack(reader: Zvhd2Reader, block: int, file: int) -> None:
    """Bring one block to its place. Runs in a thread."""
    size = reader.container.block_size
    offset = block * size
    data = reader.read_block(block)[: reader.container.original_size - offset]
    for start, stop in _runs(data):
        _write(file, memoryview(data)[start:stop], offset + start)
    if os.pread(file, len(data), offset) != data:
        raise ReadError(
            f"what was written does not read back: {len(data)} bytes at byte {offset} of the disk;"
            " memory or disk may be faulty, see the system log, and run again"
        )


def _runs(data: bytes) -> list[tuple[int, int]]:
    """Return start and stop of each run of pages that are not zeros."""
    whole = len(data) // _PAGE * _PAGE
    flags = np.frombuffer(data, np.uint64, whole // 8).reshape(-1, _PAGE // 8).any(axis=1)
    flags = np.append(flags, any(data[whole:]))
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False)) * _PAGE
    return [
        (int(start), min(int(stop), len(data)))
        for start, stop in zip(edges[::2], edges[1::2], strict=True)
    ]


def _write(file: int, view: memoryview, offset: int) -> None:
    while view:
        done = os.pwrite(file, view, offset)
        view, offset = view[done:], offset + done
