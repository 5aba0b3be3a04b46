"""The boot program of a first sector that goes on with the active partition: where it stops.

Known are Syslinux's `mbr.bin` and `gptmbr.bin` (its mbr/mbr.S and mbr/gptmbr.S): they read the
first sector of the one partition that is marked active, of an XFS the fifth, and start it if it
ends in 55 AA. In a GPT the mark is bit 2 of the partition's
attributes (UEFI specification 2.10, table 5.8: legacy BIOS bootable). Windows and other systems
have programs that do the same, of which nothing is said here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from imsprep.image.volumes.signatures import Read
from imsprep.units import SECTOR

_MBR, _GPT = b"Operating system load error.", b"Missing OS"
_ONE = b"Multiple active partitions"  # what both write where there are two
_ENTRY = struct.Struct("<B3xB3xII")  # active, type, first sector, sectors
_EXTENDED = (0x05, 0x0F, 0x85)
_HEADER, _PARTITION = struct.Struct("<72xQII"), struct.Struct("<16s16xQQQ")
_COUNT_LIMIT, _LEGACY = 1024, 1 << 2
_XFS, _XFS_AT = b"XFSB", 4  # sectors from its start to its boot program


def why_it_stops(sector: bytes, read: Read) -> str | None:
    """Return why the boot program in the first sector starts no partition; None: it is not known.

    `read` reads the disk: offset and length in bytes.
    """
    code = sector[:440]
    if len(sector) < SECTOR or _ONE not in code:
        return None
    if _MBR in code:
        if any(kind in _EXTENDED for _, kind, _ in _entries(sector)):
            return None  # logical partitions may be active too
        active = [first for mark, kind, first in _entries(sector) if mark == 0x80 and kind]
    elif _GPT in code:
        found = list(_partitions(read))
        if not found:
            return None
        active = [first for attributes, first in found if attributes & _LEGACY]
    else:
        return None
    if len(active) != 1:
        count = f"{len(active)} partitions are" if active else "no partition is"
        return f"{count} marked active, and the boot program starts the one that is"
    return _not_started(active[0], read)


def _entries(sector: bytes) -> Iterator[tuple[int, int, int]]:
    for number in range(4):
        active, kind, first, _ = _ENTRY.unpack_from(sector, 446 + 16 * number)
        yield active, kind, first


def _partitions(read: Read) -> Iterator[tuple[int, int]]:
    """Yield attributes and first sector of what a GPT holds."""
    header = read(SECTOR, SECTOR)
    if header[:8] != b"EFI PART" or len(header) < SECTOR:
        return
    table, count, size = _HEADER.unpack_from(header)
    if size < 128 or count > _COUNT_LIMIT:
        return
    entries = read(table * SECTOR, count * size)
    for at in range(0, len(entries) - 127, size):
        kind, first, _, attributes = _PARTITION.unpack_from(entries, at)
        if any(kind):
            yield attributes, first


def _not_started(first: int, read: Read) -> str | None:
    head = read(first * SECTOR, SECTOR)
    if head.startswith(_XFS):
        head = read((first + _XFS_AT) * SECTOR, SECTOR)
    if head[510:] == b"\x55\xaa" or len(head) < SECTOR:  # past the end of a disk that is cut
        return None
    return f"the active partition, which begins at sector {first}, has no boot program"
