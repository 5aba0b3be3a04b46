"""Parallels: header and block allocation table.

Source: docs/interop/parallels.rst of QEMU; little-endian.
"""

from __future__ import annotations

import struct

import numpy as np

from imsprep.image.tables.survey import (
    CLOSE,
    Ledger,
    Read,
    Survey,
    SurveyError,
    check_size,
    damaged,
    needed,
    table,
)
from imsprep.units import SECTOR

_HEADER = struct.Struct("<16sIIIIIQIIIQ")
_OLD, _NEW = b"WithoutFreeSpace", b"WithouFreSpacExt"
_IN_USE, _CLOSED = 0x746F6E59, 0x312E3276


def survey(read: Read, size: int) -> Survey:
    """Read header and table of a Parallels image; FormatError if they cannot be right."""
    head = _HEADER.unpack(table(read, size, 0, _HEADER.size))
    magic, version, _, _, tracks, count, sectors, in_use, data, _, extension = head
    if version != 2 or magic not in (_OLD, _NEW):
        raise damaged(f"version {version} of a format that has only version 2", 16)
    if in_use == _IN_USE:
        raise SurveyError("it was not closed (it is marked as in use)", CLOSE)
    sectors = sectors & 0xFFFFFFFF if magic == _OLD else sectors
    if not tracks or count != -(-sectors // tracks):
        raise damaged(f"{count} blocks of {tracks} sectors for a disk of {sectors}", 28)
    check_size(sectors * SECTOR, 36)
    block = tracks * SECTOR
    bat = np.frombuffer(table(read, size, _HEADER.size, count * 4), "<u4").astype(np.int64)
    bat *= SECTOR if magic == _OLD else block
    start = data * SECTOR if data else -(-(_HEADER.size + count * 4) // SECTOR) * SECTOR
    if start < _HEADER.size + count * 4:
        raise damaged(f"its data begins at byte {start}, inside its table", 48)
    ledger = Ledger(size)
    ledger.add(0, _HEADER.size + count * 4, "its table")
    stored = np.flatnonzero(bat)
    wanted = needed(stored, block, sectors * SECTOR)
    if np.any(bat[stored] < start) or np.any((bat[stored] - start) % SECTOR):
        raise damaged("its table names a block in front of its data", _HEADER.size)
    ledger.add_all(bat[stored], wanted, "a block")
    if extension:
        ledger.add(extension * SECTOR, block, "the format extension")
    ledger.check_apart()
    # QEMU leaves the room of discarded blocks; an extension says where dirty bitmaps lie.
    least = None if extension else block
    return Survey(sectors * SECTOR, ledger, least_gap=least, has_check=True)
