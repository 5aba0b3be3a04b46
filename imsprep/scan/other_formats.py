"""Which blocks of a disk hold data, where the disk is not a file: read through its format's reader.

What the format calls zeros is not read; the rest is, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from imsprep.image.blockmap import BlockMap
from imsprep.image.disk import Disk
from imsprep.scan.scan import Coverage, Scan
from imsprep.units import ceil_div


def scan_disk(disk: Disk, *, block_size: int, progress: Callable[[int], None]) -> Scan:
    """Return the block map of a disk; `progress` is called with bytes, zeros included.

    Raises what reading the disk raises.
    """
    flags = np.zeros(ceil_div(disk.size, block_size), np.bool_)
    buffer, read = memoryview(bytearray(block_size)), 0
    for offset, length, is_data in disk.extents():
        end = offset + length
        if not is_data:
            progress(length)
        while is_data and offset < end:
            block = offset // block_size
            stop = min(end, (block + 1) * block_size)
            piece = buffer[: stop - offset]
            disk.pread_into(offset, piece)
            flags[block] |= bool(np.frombuffer(piece, np.uint8).any())
            read += len(piece)
            progress(len(piece))
            offset = stop
    block_map = BlockMap.from_flags(disk.size, block_size, flags)
    return Scan(block_map, Coverage(disk.size - read, 0, read))
