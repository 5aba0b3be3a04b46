"""VMDK: a sparse file with its descriptor in it, also of the kind that is sent as a stream.

Grain directory and tables exist twice where the header says so; in a stream each grain begins with
its own number. Source: Virtual Disk Format 5.0 of VMware, its names; little-endian.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

from imsprep.image.tables import descriptor
from imsprep.image.tables.survey import (
    DOWNLOAD,
    FLATTEN,
    Ledger,
    Offsets,
    Read,
    Survey,
    SurveyError,
    check_size,
    damaged,
    needed,
    table,
)
from imsprep.units import SECTOR, round_up

MAGIC = b"KDMV"
_HEADER = struct.Struct("<4sIIQQQQIQQQB4sH")
_REDUNDANT, _ZERO_GRAINS, _COMPRESSED = 2, 4, 1 << 16
_AT_THE_END = (1 << 64) - 1  # a grain directory that stands in front of the footer
_MARKER = struct.Struct("<QI")  # of a grain: its first sector, and its bytes; or a length, and 0
_END, _TABLE, _DIRECTORY, _FOOTER = 0, 1, 2, 3  # types of the other markers
_LINE_ENDS = b"\n \r\n"
_MOST_GRAIN = 128 * 1024  # sectors


class Header(NamedTuple):
    """The header, VMware's names. All but `entries` in sectors."""

    magic: bytes
    version: int
    flags: int
    capacity: int
    grain_size: int
    descriptor_offset: int
    descriptor_size: int
    entries: int  # of a grain table
    redundant: int  # where the second directory is
    directory: int
    overhead: int
    unclean: int
    line_ends: bytes
    compression: int

    @property
    def packed(self) -> bool:
        """Whether the grains are compressed."""
        return bool(self.flags & _COMPRESSED)


def survey(read: Read, size: int) -> Survey:
    """Read the tables of a sparse VMDK; raises FormatError if they cannot be right."""
    if read(0, 4) == b"COWD":
        raise SurveyError("it is a piece of a disk of ESX, or of a snapshot", NAME_DESCRIPTOR)
    if read(0, 4) != MAGIC:
        raise SurveyError("it only describes a disk that lies in other files", FLATTEN)
    head = header(read, size)
    notes = ("its header says that it was not closed cleanly",) if head.unclean else ()
    if not head.descriptor_offset:
        raise SurveyError(PIECE, NAME_DESCRIPTOR)
    text = table(
        read, size, head.descriptor_offset * SECTOR, min(head.descriptor_size, 2048) * SECTOR
    )
    if not text.strip(b"\0"):
        raise SurveyError(PIECE, NAME_DESCRIPTOR)
    described = descriptor.parse(text)
    if described.parent:
        raise SurveyError("it needs its parent, which holds the rest of its disk", FLATTEN)
    if (total := sum(extent.sectors for extent in described.extents)) != head.capacity:
        raise damaged(
            f"its header gives a disk of {head.capacity} sectors, its descriptor of {total}", 12
        )
    ledger = read_grains(read, size, head)
    return Survey(head.capacity * SECTOR, ledger, _least_gap(head), notes=notes)


PIECE = "it is only a piece of a disk that is split into several files: it has no descriptor"


NAME_DESCRIPTOR = "name its descriptor, {descriptor}, with all the pieces in one folder"


def header(read: Read, size: int) -> Header:
    """Return the header that counts; raises FormatError."""
    head = Header(*_HEADER.unpack(table(read, size, 0, _HEADER.size)))
    if head.directory == _AT_THE_END:  # the footer, in front of the mark of the end
        at = size - 2 * SECTOR
        last = Header(*_HEADER.unpack(table(read, size, max(0, at), _HEADER.size)))
        if last.magic != MAGIC:
            raise SurveyError(
                "it is cut short: such a VMDK ends with a footer, and there is none at byte"
                f" {max(0, at)}",
                DOWNLOAD,
            )
        if (last.capacity, last.grain_size) != (head.capacity, head.grain_size):
            raise damaged("its header and its footer differ", at)
        head = last._replace(
            descriptor_offset=head.descriptor_offset, descriptor_size=head.descriptor_size
        )
    if head.line_ends != _LINE_ENDS:
        raise damaged("it was transferred as text, which changed its line ends", 73)
    if head.version not in (1, 2, 3):
        raise SurveyError(f"it is a VMDK of version {head.version}, which is not known here")
    small = not 0 < head.grain_size <= _MOST_GRAIN or head.grain_size & (head.grain_size - 1)
    if small or not 0 < head.entries <= 4096 or not head.capacity:
        raise damaged(
            f"a disk of {head.capacity} sectors, grains of {head.grain_size}, tables of"
            f" {head.entries}",
            12,
        )
    if (head.packed and head.compression != 1) or (not head.packed and head.compression):
        raise damaged(f"compression of type {head.compression}", 77)
    check_size(head.capacity * SECTOR, 12)
    return head


def read_grains(read: Read, size: int, head: Header) -> Ledger:
    """Read directory and tables; return what they name."""
    ledger = Ledger(size)
    ledger.add(0, SECTOR, "the header")
    grains = _grains(read, size, head, head.directory, ledger)
    twice = head.flags & _REDUNDANT and head.redundant
    copy = _grains(read, size, head, head.redundant, ledger) if twice else grains
    if not np.array_equal(grains, copy):
        raise damaged("its tables and their second copy differ", head.redundant * SECTOR)
    if np.any(grains[-(-head.capacity // head.grain_size) :]):
        raise damaged("its tables have entries beyond the end of the disk", 0)
    stored = np.flatnonzero(grains > (1 if head.flags & _ZERO_GRAINS else 0))
    offsets = grains[stored] * SECTOR
    if head.packed:
        found = _stream(read, head, ledger)
        named = dict(zip(offsets.tolist(), (stored * head.grain_size).tolist(), strict=True))
        if named != found:
            at = min(named.items() ^ found.items())[0]
            raise damaged("its tables and the grains of its stream do not agree", at)
    else:
        grain = head.grain_size * SECTOR
        ledger.add_all(offsets, needed(stored, grain, head.capacity * SECTOR), "a grain")
    ledger.check_apart()
    return ledger


def _grains(read: Read, size: int, head: Header, directory: int, ledger: Ledger) -> Offsets:
    """Return the sector of each grain: 0 for none."""
    count = -(-head.capacity // (head.grain_size * head.entries))
    ledger.add(directory * SECTOR, count * 4, "a grain directory")
    tables = np.frombuffer(table(read, size, directory * SECTOR, count * 4), "<u4")
    tables = tables.astype(np.int64)
    grains = np.zeros(count * head.entries, np.int64)
    used = np.flatnonzero(tables)
    ledger.add_all(tables[used] * SECTOR, head.entries * 4, "a grain table")
    if len(np.unique(tables[used])) != len(used):
        raise damaged("two entries of its grain directory are the same", directory * SECTOR)
    for number in used:
        data = table(read, size, int(tables[number]) * SECTOR, head.entries * 4)
        grains[number * head.entries : (number + 1) * head.entries] = np.frombuffer(data, "<u4")
    return grains


def _stream(read: Read, head: Header, ledger: Ledger) -> dict[int, int]:
    """Go through the stream from grain to grain; return the first sector of each by its offset."""
    size, found = ledger.size, dict[int, int]()
    position = max(1, head.overhead) * SECTOR
    while position + _MARKER.size <= size:
        value, length = _MARKER.unpack(read(position, _MARKER.size))
        if length:
            if position + _MARKER.size + length > size:
                raise damaged("a compressed grain ends beyond the end of the file", position)
            found[position] = value
            ledger.add(position, _MARKER.size + length, "a compressed grain")
            position = round_up(position + _MARKER.size + length, SECTOR)
            continue
        (kind,) = struct.unpack("<I", table(read, size, position + _MARKER.size, 4))
        if kind == _END and not value:
            break
        if kind not in (_TABLE, _DIRECTORY, _FOOTER) or value > size // SECTOR:
            raise damaged("neither a grain nor a marker of its stream", position)
        position += SECTOR + value * SECTOR
    return found


def _least_gap(head: Header) -> int | None:
    """Return which gap counts: where the tables exist twice, or a stream was walked, none does."""
    twice = bool(head.flags & _REDUNDANT and head.redundant)
    return None if twice or head.packed else head.grain_size * SECTOR
