"""What a ZVHD2 file holds: header, footers, index and bitmap, and what is wrong with them.

`examine` looks at them in the order in which each can be trusted, and bounds every count by the
file's length before it allocates anything. `faults` says what can be wrong.

The disk has two sizes. `orig_size` is the image that was packed, rounded up to 512; `curr_size` is
that rounded up to a whole GiB, and what the published driver reports.

An index of the stored blocks has to be in the order of the blocks, since the published driver
finds entries by counting. Where it is not, two readers see two disks; `index_ascends` tells, and
the check makes it an error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from imsprep.image.blockmap import BlockMap
from imsprep.zvhd2 import faults as zvhd2_faults
from imsprep.zvhd2 import records
from imsprep.zvhd2.faults import Fault, Kind, Stage
from imsprep.zvhd2.records import FOOTER_LENGTH, Entries, Footer

Read = Callable[[int, int], bytes]  # offset, length -> exactly these bytes of the file

_SEAMS_AT_ONCE = 16384  # record heads that are held in memory together
_SEAM = np.dtype([("end", "S4"), ("head", records.RECORD_HEAD)])  # where two records meet
_POSTFIX_SIZE = len(records.POSTFIX)


@dataclass(frozen=True)
class Container:
    """A sound ZVHD2 file's tables."""

    header: Footer
    footer: Footer
    entries: Entries  # of the stored blocks, in order of blocks
    block_map: BlockMap  # of the image that was packed, orig_size

    @property
    def block_size(self) -> int:
        """Bytes of a block."""
        return self.footer.block_size

    @property
    def original_size(self) -> int:
        """Bytes of the image that was packed."""
        return self.footer.orig_size

    @property
    def virtual_size(self) -> int:
        """Bytes of the disk that a reader of the container sees."""
        return self.footer.curr_size

    @property
    def stored_size(self) -> int:
        """Bytes of all block records."""
        return int(self.entries["length"].sum(dtype=np.uint64))

    def entry(self, block: int) -> np.void | None:
        """Return the index entry of a block; None for a block of zeros."""
        at = int(np.searchsorted(self.entries["block"], block))
        if at == len(self.entries) or self.entries["block"][at] != block:
            return None
        found: np.void = self.entries[at]
        return found


@dataclass(frozen=True)
class Examination:
    """How far a file could be read as a container, and what was wrong."""

    stage: Stage  # the last one that was looked at
    faults: tuple[Fault, ...] = ()
    header: Footer | None = None
    footer: Footer | None = None
    container: Container | None = None  # only if nothing was wrong up to its index
    # What the driver's writer leaves behind, of no account to a reader:
    middle_footer: str | None = None  # "valid", "stale" (its sum does not hold), or "none"
    index_ascends: bool | None = None  # the entries stand in order of blocks
    records_ascend: bool | None = None  # and so do the records

    @property
    def shows_two_disks(self) -> bool:
        """Return whether a reader that counts marked blocks gets other data than by the numbers."""
        counted = self.footer is not None and not self.footer.index_contains_zero_blk
        return counted and self.index_ascends is False

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON: what a sound container is made of."""
        found = self.container
        if found is None:
            return {}
        footer = found.footer
        return {
            "original_size": found.original_size,
            "virtual_size": found.virtual_size,
            "block_size": found.block_size,
            "blocks": footer.max_blk_num,
            "records": len(found.entries),
            "data_bytes": found.block_map.data_bytes,
            "stored_size": found.stored_size,
            "compression": records.METHODS[footer.compress_method],
            "uuid": footer.uuid.hex(),
            "creator_version": f"{footer.creator_version >> 16}.{footer.creator_version & 0xFFFF}",
            "index_of_all_blocks": bool(footer.index_contains_zero_blk),
            "index_ascends": self.index_ascends,
            "records_ascend": self.records_ascend,
            "middle_footer": self.middle_footer,
            "unpacked": self.stage is Stage.PAYLOADS,
        }

    def container_or_raise(self) -> Container:
        """Return the container; raise the first fault as FormatError if there is one."""
        if self.faults:
            raise self.faults[0].as_error()
        assert self.container is not None
        return self.container


def examine(read: Read, size: int) -> Examination:
    """Look at everything in a file of `size` bytes but its block records."""
    head = read(0, min(size, FOOTER_LENGTH))
    faults = list(zvhd2_faults.first_of([zvhd2_faults.header_fault(head)]))
    header = records.unpack_footer(head) if len(head) == FOOTER_LENGTH else None
    if header is None or any(fault.kind is Kind.VERSION for fault in faults):
        return Examination(Stage.HEADER, tuple(faults), header)
    offset = size - FOOTER_LENGTH
    tail = read(offset, FOOTER_LENGTH)
    footer = records.unpack_footer(tail)
    fault = zvhd2_faults.footer_fault(tail, offset) or zvhd2_faults.field_fault(footer, offset)
    if fault is None and not faults:  # a damaged header need not be compared
        fault = zvhd2_faults.other_disk_fault(header, footer, offset)
    if fault is not None:
        return Examination(Stage.FOOTER, (*faults, fault), header, footer)
    fault = zvhd2_faults.tables_fault(footer, size)
    if fault is not None:
        return Examination(Stage.TABLES, (*faults, fault), header, footer)
    return _examine_tables(read, header, footer, faults)


def _examine_tables(read: Read, header: Footer, footer: Footer, faults: list[Fault]) -> Examination:
    """Look at index and bitmap, whose places and sizes are sound."""
    raw = read(footer.index_lba, footer.index_size) if footer.index_size else b""
    index = np.frombuffer(raw, records.INDEX_ENTRY, footer.index_entries)
    bitmap = read(footer.bitmap_lba, footer.bitmap_size)
    fault = zvhd2_faults.entry_fault(footer, index)
    if fault is not None:
        return Examination(Stage.INDEX, (*faults, fault), header, footer)
    used = index[zvhd2_faults.used_entries(footer, index)]
    by_block = used[np.argsort(used["block"], kind="stable")]
    by_offset = used[np.argsort(used["offset"], kind="stable")]
    faults += zvhd2_faults.first_of(
        [
            zvhd2_faults.twice_fault(by_block)
            or zvhd2_faults.bitmap_fault(footer, bitmap, by_block),
            zvhd2_faults.overlap_fault(by_offset),
        ]
    )
    return Examination(
        Stage.INDEX,
        tuple(faults),
        header,
        footer,
        None if faults else Container(header, footer, by_block, _block_map(footer, by_block)),
        _middle_footer(read, footer, by_offset),
        index_ascends=bool((used["block"][1:] >= used["block"][:-1]).all()),
        records_ascend=bool((by_block["offset"][1:] > by_block["offset"][:-1]).all()),
    )


def _block_map(footer: Footer, entries: Entries) -> BlockMap:
    flags = np.zeros(footer.max_blk_num, dtype=np.bool_)
    flags[entries["block"]] = True
    return BlockMap.from_flags(footer.orig_size, footer.block_size, flags)


def _middle_footer(read: Read, footer: Footer, by_offset: Entries) -> str:
    """Look at what stands behind the last record; the driver does not renew its checksum."""
    at = FOOTER_LENGTH
    if len(by_offset):
        at = int(by_offset["offset"][-1]) + int(by_offset["length"][-1])
    if at + FOOTER_LENGTH > footer.data_end:
        return "none"
    data = read(at, FOOTER_LENGTH)
    if not data.startswith(records.COOKIE_START):
        return "none"
    return "valid" if records.checksum(data) == records.unpack_footer(data).checksum else "stale"


def check_records(container: Container, read: Read) -> Fault | None:
    """Compare the head and the end of every record with the index: one read for each record."""
    by_offset = container.entries[np.argsort(container.entries["offset"])]
    for first in range(0, len(by_offset), _SEAMS_AT_ONCE):
        some = by_offset[first : first + _SEAMS_AT_ONCE]
        starts = some["offset"].astype(np.int64)
        # A record's end and the next one's head are neighbours, and read together.
        seams, which = np.unique(
            np.concatenate([starts, starts + some["length"]]), return_inverse=True
        )
        raw = b"".join(read(int(at) - _POSTFIX_SIZE, _SEAM.itemsize) for at in seams)
        found = np.frombuffer(raw, _SEAM)[which]
        fault = zvhd2_faults.records_fault(
            some, found["head"][: len(some)], found["end"][len(some) :]
        )
        if fault is not None:
            return fault
    return None
