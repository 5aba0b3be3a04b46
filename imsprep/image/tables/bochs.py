"""Bochs: a growing disk's header and catalog. Source: block/bochs.c of QEMU; little-endian."""

from __future__ import annotations

import struct

import numpy as np

from imsprep.image.tables.survey import (
    Ledger,
    Read,
    Survey,
    SurveyError,
    check_size,
    damaged,
    table,
)
from imsprep.units import SECTOR

_HEADER = struct.Struct("<32s16s16sIIIII")
_VERSION_1, _VERSION_2 = 0x00010000, 0x00020000
_DISK_AT = {_VERSION_1: 84, _VERSION_2: 88}
_UNUSED = 0xFFFFFFFF


def survey(read: Read, size: int) -> Survey:
    """Read header and catalog of a Bochs disk; FormatError if they cannot be right."""
    head = _HEADER.unpack(table(read, size, 0, _HEADER.size))
    _, kind, subtype, version, length, count, bitmap, extent = head
    if kind.rstrip(b"\0") != b"Redolog" or subtype.rstrip(b"\0") != b"Growing":
        raise SurveyError("it is a disk of Bochs that does not grow, which QEMU does not read")
    if version not in _DISK_AT or extent < SECTOR or extent & (extent - 1) or not bitmap:
        raise damaged(f"version {version:#x}, extents of {extent} bytes", 64)
    (virtual,) = struct.unpack("<Q", table(read, size, _DISK_AT[version], 8))
    check_size(virtual, _DISK_AT[version])
    if count < -(-virtual // extent):  # bximage leaves entries behind the end
        raise damaged(f"{count} extents of {extent} bytes for a disk of {virtual}", 72)
    catalog = np.frombuffer(table(read, size, length, count * 4), "<u4")
    if np.any(catalog[-(-virtual // extent) :] != _UNUSED):
        raise damaged("its catalog has extents beyond the end of the disk", length)
    record = -(-bitmap // SECTOR) * SECTOR + extent
    start = length + count * 4
    ledger = Ledger(size)
    ledger.add(0, start, "the catalog")
    stored = np.flatnonzero(catalog != _UNUSED)
    ledger.add_all(start + catalog[stored].astype(np.int64) * record, record, "an extent")
    ledger.check_apart()
    return Survey(virtual, ledger, least_gap=record)
