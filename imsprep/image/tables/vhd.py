"""VHD: the footer, its copy, the header of a dynamic disk, and the block allocation table.

A footer gives the disk's size twice: the current size in bytes, and a geometry of cylinders, heads
and sectors, which is rounded. QEMU goes by the geometry, unless it knows the writer. The current
size is, by the specification, the size of the disk that the virtual machine sees; QEMU is made to
take it. Source: Virtual Hard Disk Image Format Specification 1.0, 2006-10-11; big-endian.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

from imsprep.errors import show_path
from imsprep.image.tables.survey import (
    DOWNLOAD,
    Ledger,
    Read,
    Survey,
    SurveyError,
    check_size,
    damaged,
    table,
)
from imsprep.units import SECTOR, round_up

_FOOTER = struct.Struct(">8sIIQI4sI4sQQHBBII16sB")
_HEADER = struct.Struct(">8sQQIIII16sII512s")
COOKIE, _HEADER_COOKIE = b"conectix", b"cxsparse"
_HEADER_SIZE = 1024
_CHECKSUM_AT = {SECTOR: 64, _HEADER_SIZE: 36}
_FIXED, _DYNAMIC, _DIFFERENCING = 2, 3, 4
# Hyper-V and VirtualBox read parents; QEMU does not.
MERGE = (
    "with its parent at hand, make a whole one of it: Convert-VHD (Hyper-V), or VBoxManage"
    " clonemedium disk {image} whole.vdi"
)
_UNUSED = 0xFFFFFFFF  # an entry of the table
_LARGEST_GEOMETRY = 65535 * 16 * 255 * SECTOR  # what writers put who mean the current size


class Footer(NamedTuple):
    """The footer, the specification's names. Sizes in bytes."""

    cookie: bytes
    features: int
    version: int
    data_offset: int  # of the dynamic disk's header
    timestamp: int
    creator: bytes
    creator_version: int
    creator_os: bytes
    original_size: int
    current_size: int
    cylinders: int
    heads: int
    sectors: int
    disk_type: int
    checksum: int
    uuid: bytes
    saved_state: int

    @property
    def geometry_size(self) -> int:
        """The disk's size by its geometry."""
        return self.cylinders * self.heads * self.sectors * SECTOR


class _Header(NamedTuple):
    cookie: bytes
    data_offset: int
    table_offset: int
    version: int
    entries: int  # of the table
    block_size: int
    checksum: int
    parent_uuid: bytes
    parent_time: int
    reserved: int
    parent_name: bytes  # UTF-16, big-endian


def survey(read: Read, size: int) -> Survey:
    """Read a VHD's footers and tables; raises FormatError if they cannot be right."""
    end, length = _end(read, size)
    footer = _footer(read, size, end, length)
    if footer.disk_type == _DIFFERENCING:
        raise SurveyError(_parent(read, size, footer), MERGE)
    check_size(footer.current_size, end + 48)
    if footer.disk_type == _FIXED:
        ledger = Ledger(end)
        if end != footer.current_size:
            raise damaged(
                f"its footer gives a disk of {footer.current_size} bytes, and {end} are in front"
                " of it",
                end + 48,
            )
        ledger.add(0, end, "the disk")
        return _found(footer, ledger, None)
    copy = Footer(*_FOOTER.unpack(table(read, size, 0, _FOOTER.size)))
    same = ("current_size", "disk_type", "data_offset", "cylinders", "heads", "sectors")
    if copy.cookie != COOKIE or not _holds(table(read, size, 0, SECTOR)):
        raise damaged("the copy of its footer at the start", 0)
    if any(getattr(copy, name) != getattr(footer, name) for name in same):
        raise damaged("its footer and the copy at its start differ", end)
    return _dynamic(read, end, footer)


def _end(read: Read, size: int) -> tuple[int, int]:
    """Return where the footer at the end begins, and its length."""
    for length in (SECTOR, SECTOR - 1):  # 511: before Virtual PC 2004
        if size >= length and read(size - length, 8) == COOKIE:
            return size - length, length
    raise SurveyError(
        f"it is cut short: a VHD ends with its footer, and there is none in front of byte {size},"
        " where the file ends",
        DOWNLOAD,
    )


def _footer(read: Read, size: int, at: int, length: int) -> Footer:
    data = table(read, size, at, length).ljust(SECTOR, b"\0")
    footer = Footer(*_FOOTER.unpack_from(data))
    if not _holds(data):
        raise damaged("the checksum of its footer does not hold", at)
    if footer.disk_type not in (_FIXED, _DYNAMIC, _DIFFERENCING):
        raise SurveyError(f"it is a VHD of type {footer.disk_type}, which is not known", DOWNLOAD)
    return footer


def _holds(record: bytes) -> bool:
    """Return whether a record's checksum holds: the complement of the sum of its other bytes."""
    at = _CHECKSUM_AT[len(record)]
    stored = int.from_bytes(record[at : at + 4], "big")
    return ~(sum(record) - sum(record[at : at + 4])) & 0xFFFFFFFF == stored


def _header(read: Read, size: int, footer: Footer) -> _Header:
    data = table(read, size, footer.data_offset, _HEADER_SIZE)
    header = _Header(*_HEADER.unpack_from(data))
    if header.cookie != _HEADER_COOKIE or not _holds(data):
        raise damaged("the checksum of its header does not hold", footer.data_offset)
    return header


def _dynamic(read: Read, end: int, footer: Footer) -> Survey:
    header = _header(read, end, footer)
    block = header.block_size
    if block < SECTOR or block & (block - 1) or header.entries * block < footer.current_size:
        raise damaged(
            f"{header.entries} blocks of {block} bytes for a disk of {footer.current_size}",
            footer.data_offset + 28,
        )
    bat = np.frombuffer(table(read, end, header.table_offset, header.entries * 4), ">u4")
    stored = np.flatnonzero(bat != _UNUSED)
    offsets = bat[stored].astype(np.int64) * SECTOR
    record = round_up(-(-block // SECTOR // 8), SECTOR) + block  # a bitmap of sectors, the block
    ledger = Ledger(end)
    ledger.add(0, SECTOR, "the copy of the footer")
    ledger.add(footer.data_offset, _HEADER_SIZE, "the header")
    ledger.add(header.table_offset, header.entries * 4, "the table")
    ledger.add_all(offsets, record, "a block")
    ledger.check_apart()
    return _found(footer, ledger, record)


def _found(footer: Footer, ledger: Ledger, least_gap: int | None) -> Survey:
    notes: tuple[str, ...] = ()
    if footer.current_size != footer.geometry_size < _LARGEST_GEOMETRY:
        notes = (
            f"its footer gives two sizes: {footer.current_size} bytes (current size) and"
            f" {footer.geometry_size} (CHS geometry, which is rounded); the current size is taken",
        )
    options = {"force_size_calc": "current_size"}
    return Survey(footer.current_size, ledger, least_gap, notes=notes, options=options)


def _parent(read: Read, size: int, footer: Footer) -> str:
    header = _header(read, size, footer)
    name = header.parent_name.decode("utf-16-be", "replace").split("\0", 1)[0]
    named = f", {show_path(name)}," if name else ","
    return (
        f"it is a differencing VHD: it needs its parent{named} which holds the rest of its disk,"
        " and QEMU would read zeros there"
    )
