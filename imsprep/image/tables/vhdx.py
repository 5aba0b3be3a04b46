"""VHDX: headers, region tables, metadata, log, and the block allocation table.

Source: the specification [MS-VHDX] 7.0; little-endian. Headers and region tables have checksums and
exist twice; metadata and the allocation table have neither.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from imsprep.image.crc32c import crc32c
from imsprep.image.tables.survey import (
    CLOSE,
    Ledger,
    Offsets,
    Read,
    Survey,
    SurveyError,
    damaged,
    is_power_of_two,
    needed,
    table,
)
from imsprep.image.tables.vhd import MERGE
from imsprep.units import KIB, MIB

_HEADERS, _HEADER_SIZE = (64 * KIB, 128 * KIB), 4 * KIB
_REGIONS, _REGION_SIZE = (192 * KIB, 256 * KIB), 64 * KIB
_HEADER = struct.Struct("<4sIQ16s16s16sHHIQ")
_ENTRY = struct.Struct("<16sQII")  # of a region table
_ITEM = struct.Struct("<16sIIII")  # of the metadata table
_LOG_STEP = 4 * KIB

_BAT = uuid.UUID("2dc27766-f623-4200-9d64-115e9bfd4a08").bytes_le
_METADATA = uuid.UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e").bytes_le
_FILE_PARAMETERS = uuid.UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b").bytes_le
_DISK_SIZE = uuid.UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8").bytes_le
_SECTOR_SIZE = uuid.UUID("8141bf1d-a96f-4709-ba47-f233a8faab5f").bytes_le
_HAS_PARENT = 2

# States of a block; 7, partly present, is for differencing disks alone.
_NOT_PRESENT, _ZEROS, _PRESENT = 0, 2, 6
_ABSENT, _FREED = (0, 1, 2, 3), (1, 2, 3)
_STATE, _OFFSET = np.uint64(7), np.uint64(0xFFFF_FFFF_FFF0_0000)
_RESERVED = np.uint64(0x000F_FFF8)


class _Header(NamedTuple):
    signature: bytes
    checksum: int
    sequence: int
    file_guid: bytes
    data_guid: bytes
    log_guid: bytes
    log_version: int
    version: int
    log_length: int
    log_offset: int


class _Metadata(NamedTuple):
    block_size: int
    flags: int
    disk_size: int
    sector_size: int


def survey(read: Read, size: int) -> Survey:
    """Read the structures of a VHDX; raises FormatError if they cannot be right."""
    notes = list[str]()
    header = _current(read, size, notes)
    ledger = Ledger(size)
    ledger.add(0, MIB, "the headers")
    ledger.add(header.log_offset, header.log_length, "the log")
    if any(header.log_guid) and _has_log(read, header):
        raise SurveyError(
            "its log must be replayed: it was not closed, its last changes are in the log alone",
            CLOSE,
        )
    regions = _regions(read, size, notes)
    for offset, length in regions.values():
        ledger.add(offset, length, "a region")
    what = _metadata(read, size, *regions[_METADATA])
    if what.flags & _HAS_PARENT:
        raise SurveyError(
            "it is a differencing VHDX: it needs its parent, which holds the rest of its disk",
            MERGE,
        )
    freed, kept = _blocks(read, size, regions[_BAT], what, ledger)
    ledger.check_apart()
    ledger.add_all(kept, what.block_size, "a block that was given back")
    return Survey(
        what.disk_size,
        ledger,
        least_gap=min(what.block_size, what.disk_size),
        freed=freed,
        notes=tuple(notes),
    )


def _current(read: Read, size: int, notes: list[str]) -> _Header:
    """Return the header that counts: of those whose checksum holds, the later one."""
    found = list[_Header]()
    for at in _HEADERS:
        data = table(read, size, at, _HEADER_SIZE)
        header = _Header(*_HEADER.unpack_from(data))
        if header.signature == b"head" and header.checksum == _checksum(data):
            found.append(header)
    if not found:
        raise damaged("the checksum of neither header holds", _HEADERS[0])
    if len(found) == 1:
        notes.append("one of its two headers is damaged; the other one was taken")
    header = max(found, key=lambda h: h.sequence)
    if header.version != 1 or header.log_version:
        raise SurveyError(f"it is a VHDX of version {header.version}, which is not known here")
    return header


def _checksum(data: bytes) -> int:
    return crc32c(data[:4] + bytes(4) + data[8:])


def _has_log(read: Read, header: _Header) -> bool:
    """Return whether the log holds an entry that belongs to this header."""
    for at in range(header.log_offset, header.log_offset + header.log_length, _LOG_STEP):
        entry = read(at, 48)
        if entry.startswith(b"loge") and entry[32:48] == header.log_guid:
            return True
    return False


def _regions(read: Read, size: int, notes: list[str]) -> dict[bytes, tuple[int, int]]:
    """Return offset and length of each region, from a table whose checksum holds."""
    tables = [table(read, size, at, _REGION_SIZE) for at in _REGIONS]
    good = [
        data
        for data in tables
        if data[:4] == b"regi" and int.from_bytes(data[4:8], "little") == _checksum(data)
    ]
    if not good:
        raise damaged("the checksum of neither region table holds", _REGIONS[0])
    if len(good) == 1:
        notes.append("one of its two region tables is damaged; the other one was taken")
    count = min(int.from_bytes(good[0][8:12], "little"), 2047)
    found = dict[bytes, tuple[int, int]]()
    for number in range(count):
        guid, offset, length, required = _ENTRY.unpack_from(good[0], 16 + number * _ENTRY.size)
        if guid in (_BAT, _METADATA):
            found[guid] = (offset, length)
        elif required:
            raise SurveyError(
                f"it needs a region that is not known here ({uuid.UUID(bytes_le=guid)})"
            )
    if len(found) != 2:
        raise damaged("it has no allocation table or no metadata", _REGIONS[0])
    return found


def _items(read: Read, size: int, offset: int, length: int) -> Iterator[tuple[bytes, bytes, int]]:
    """Yield id, content and flags of each metadata item."""
    head = table(read, size, offset, 64 * KIB)
    count = int.from_bytes(head[10:12], "little")
    if head[:8] != b"metadata" or not count or count > 2047:
        raise damaged(f"a metadata table of {count} entries", offset)
    for number in range(count):
        guid, at, stored, flags, _ = _ITEM.unpack_from(head, 32 + number * _ITEM.size)
        if stored and (at < 64 * KIB or at + stored > length):
            raise damaged("a metadata item lies outside its region", offset)
        yield guid, table(read, size, offset + at, stored), flags


def _metadata(read: Read, size: int, offset: int, length: int) -> _Metadata:
    items = {guid: data for guid, data, _ in _items(read, size, offset, length)}
    try:
        block, flags = struct.unpack("<II", items[_FILE_PARAMETERS])
        (disk,) = struct.unpack("<Q", items[_DISK_SIZE])
        (sector,) = struct.unpack("<I", items[_SECTOR_SIZE])
    except (KeyError, struct.error) as error:
        raise damaged("its metadata lacks the size of the disk or of its blocks", offset) from error
    if not is_power_of_two(block, MIB, 256 * MIB) or sector not in (512, 4096):
        raise damaged(f"blocks of {block} bytes, sectors of {sector}", offset)
    if not disk or disk % sector or disk > 64 << 40:
        raise damaged(f"a disk of {disk} bytes", offset)
    return _Metadata(block, flags, disk, sector)


def _blocks(
    read: Read, size: int, region: tuple[int, int], what: _Metadata, ledger: Ledger
) -> tuple[int, Offsets]:
    """Note the blocks that are stored; return what says of those that were given back.

    That is where the space of those lies whose entries name it, and the bytes of the others. Both
    Windows and QEMU call a block that was never written a block of zeros, also one that was given
    back. Where they do, an entry of zeros ("not present") is not theirs, and explains nothing.
    """
    offset, length = region
    blocks = -(-what.disk_size // what.block_size)
    chunk = (1 << 23) * what.sector_size // what.block_size  # a bitmap stands behind so many
    count = blocks + (blocks - 1) // chunk
    if count * 8 > length:
        raise damaged(f"its allocation table has {length} bytes, and needs {count * 8}", offset)
    words = np.frombuffer(table(read, size, offset, count * 8), "<u8").astype(np.uint64)
    places = np.arange(count)
    is_bitmap = places % (chunk + 1) == chunk
    states, offsets = words & _STATE, (words & _OFFSET).astype(np.int64)
    wrong = ~np.isin(states, [*_ABSENT, _PRESENT]) | ((words & _RESERVED) != 0)
    wrong |= ~is_bitmap & (states == _PRESENT) & (offsets < MIB)
    wrong &= ~is_bitmap
    if wrong.any():
        at = offset + 8 * int(np.flatnonzero(wrong)[0])
        raise damaged("an entry of its allocation table that no program writes", at)
    stored = ~is_bitmap & (states == _PRESENT)
    numbers = (places - places // (chunk + 1))[stored]
    lengths = _lengths(offsets[stored], numbers, size, what)
    ledger.add_all(offsets[stored], lengths, "a block")
    freed = ~is_bitmap & np.isin(states, _FREED)
    kept = freed & (offsets >= MIB) & (offsets + what.block_size <= size)
    loose = freed & ~kept
    if np.any(~is_bitmap & (states == _NOT_PRESENT)):
        loose &= states != _ZEROS
    return int(loose.sum()) * what.block_size, offsets[kept]


def _lengths(offsets: Offsets, numbers: Offsets, size: int, what: _Metadata) -> Offsets:
    """Return the bytes that each stored block takes: all of it, also of the disk's last one.

    A file may end with what the disk has of that one, but with nothing else.
    """
    wanted = needed(numbers, what.block_size, what.disk_size)
    rest = size - offsets
    whole = rest >= what.block_size
    cut = ~whole & (rest != wanted) & (rest != -(-wanted // MIB) * MIB) & (wanted < what.block_size)
    if np.any(cut & (rest >= wanted)):
        at = int(offsets[cut][0])
        raise damaged("an entry of its allocation table leads to where no block can be", at)
    return np.where(whole, what.block_size, wanted)
