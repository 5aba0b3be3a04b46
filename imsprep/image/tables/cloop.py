"""cloop: compressed blocks, and a table of where they begin. Source: block/cloop.c of QEMU."""

from __future__ import annotations

import struct

import numpy as np

from imsprep.image.tables.survey import Ledger, Read, Survey, check_size, cut_short, damaged, table
from imsprep.units import SECTOR

_HEADER_AT = 128  # behind the script that a cloop begins with
_LARGEST = 64 << 20  # bytes of a block; QEMU's limit


def survey(read: Read, size: int) -> Survey:
    """Read the table of a cloop; raises FormatError if it cannot be right."""
    block, count = struct.unpack(">II", table(read, size, _HEADER_AT, 8))
    if not 0 < block <= _LARGEST or block % SECTOR or not count:
        raise damaged(f"{count} blocks of {block} bytes", _HEADER_AT)
    at, length = _HEADER_AT + 8, 8 * (count + 1)
    offsets = np.frombuffer(table(read, size, at, length), ">u8").astype(np.uint64)
    if np.any(offsets[1:] <= offsets[:-1]) or offsets[0] < at + length:
        raise damaged("its table names blocks in no order", at)
    if int(offsets[-1]) > size:
        raise cut_short(int(offsets[-1]), size)
    check_size(block * count, _HEADER_AT)
    ledger = Ledger(size)
    ledger.add(0, int(offsets[-1]), "the blocks")
    return Survey(block * count, ledger)
