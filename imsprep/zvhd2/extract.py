"""Unpack a ZVHD2 into a sparse file: threads unpack, write and read back block by block.

Pieces of 4 KiB that are zeros are not written, so that they take no space.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from imsprep.errors import ReadError
from imsprep.image.archive.unpack import bring, runs_of_data
from imsprep.system.threads import Workers
from imsprep.system.writeback import WriteBehind
from imsprep.units import MIB
from imsprep.zvhd2.codec import unpacking_threads
from imsprep.zvhd2.reader import Entry, Zvhd2Reader

_BATCH_BYTES = 64 * MIB  # of the disk, unpacked by a thread at once
_READ_BACK = 1  # copies of a block that are held to compare it


def unpack_disk(
    reader: Zvhd2Reader, file: int, *, jobs: int, progress: Callable[[int], None]
) -> None:
    """Write the disk that was packed to an empty file, and read back what was written.

    `progress` is called with bytes of the disk. Raises FormatError for a block that is damaged, and
    ReadError if something does not read back.
    """
    disk = reader.container
    os.ftruncate(file, disk.original_size)
    jobs = unpacking_threads(disk.block_size, jobs, copies=_READ_BACK)
    entries: list[Entry] = disk.entries.tolist()
    count = max(1, _BATCH_BYTES // disk.block_size)
    batches = [entries[at : at + count] for at in range(0, len(entries), count)]
    reported = 0
    with WriteBehind(file) as behind, Workers(jobs) as workers:
        done = workers.map(lambda batch: _unpack_all(reader, batch, file), batches)
        for batch, _ in zip(batches, done, strict=True):
            position = batch[-1][1] * disk.block_size
            behind.done(position)
            progress(position - reported)
            reported = position
    progress(disk.original_size - reported)
    if os.fstat(file).st_size != disk.original_size:
        raise ReadError("what was written does not have the disk's size; run again")


def _unpack_all(reader: Zvhd2Reader, entries: list[Entry], file: int) -> None:
    """Bring blocks to their places. Runs in a thread."""
    size, end = reader.container.block_size, reader.container.original_size
    last, runs = b"", list[tuple[int, int]]()
    for entry in entries:
        block = entry[1]
        data = reader.read_stored(entry)[: end - block * size]
        if data is not last:  # the reader gives the same object for the same payload
            last, runs = data, runs_of_data(data)
        if runs:
            bring(file, data, runs, block * size)
