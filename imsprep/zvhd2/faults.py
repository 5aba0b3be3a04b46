"""What can be wrong with a ZVHD2 file, as values: every check that is made before a byte is used.

A *fault* says what, where, expected and found. A reader raises the first as a FormatError; the
rules IMS3xx turn each into a finding. One fault is reported for each thing that is checked: with a
thousand bad entries, the first, and how many more. Nothing is read here, and no count is believed
before the file's length allows it. Source of the checks: docs/zvhd2.md.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imsprep.errors import FormatError
from imsprep.units import SECTOR, ceil_div, counted
from imsprep.zvhd2 import records
from imsprep.zvhd2.records import ALIGNMENT, FOOTER_LENGTH, Entries, Footer

# A disk of 8 TiB in blocks of 2 MiB, far above the service's 1 TiB. A sparse file may be as long as
# it likes, so that its length alone does not bound what tables cost; this does: some 200 MiB.
MAX_BLOCKS = 1 << 22
SIZE_LIMIT = 2**63  # a disk is smaller: no file has such an offset
ZVHD_COOKIE = b"stream\0\0"  # of version 1, another format


class Stage(enum.IntEnum):
    """How far a file was looked at; each stage needs those before it."""

    NOTHING = 0
    HEADER = 1
    FOOTER = 2
    TABLES = 3
    INDEX = 4
    RECORDS = 5
    PAYLOADS = 6


class Kind(enum.Enum):
    """What a fault is about."""

    HEADER = "header"
    VERSION = "version"
    FOOTER = "footer"
    FIELD = "field"
    OTHER_DISK = "other disk"
    TABLES = "tables"
    ENTRY = "entry"
    TWICE = "twice"
    OVERLAP = "overlap"
    BITMAP = "bitmap"
    RECORD = "record"
    PAYLOAD = "payload"
    FINISHED = "finished"  # for the published driver only: no reader here minds

    @property
    def stage(self) -> Stage:
        """The stage in which it is looked for."""
        return _STAGES[self]


_STAGES = {
    Kind.HEADER: Stage.HEADER, Kind.VERSION: Stage.HEADER, Kind.FOOTER: Stage.FOOTER,
    Kind.FIELD: Stage.FOOTER, Kind.OTHER_DISK: Stage.FOOTER, Kind.TABLES: Stage.TABLES,
    Kind.ENTRY: Stage.INDEX, Kind.TWICE: Stage.INDEX, Kind.OVERLAP: Stage.INDEX,
    Kind.BITMAP: Stage.INDEX, Kind.RECORD: Stage.RECORDS, Kind.PAYLOAD: Stage.PAYLOADS,
    Kind.FINISHED: Stage.PAYLOADS,
}  # fmt: skip


class Fault(NamedTuple):
    """One thing that is wrong, and where in the file, in bytes."""

    kind: Kind
    message: str
    offset: int
    length: int
    expected: str | None = None
    found: str | None = None

    def as_error(self) -> FormatError:
        """Return the error that a reader raises."""
        said = f": expected {self.expected}, got {self.found}" if self.expected else ""
        return FormatError(self.message + said, offset=self.offset)


def header_fault(data: bytes) -> Fault | None:
    """Look at the first 4096 bytes of a file."""
    if data.startswith(ZVHD_COOKIE):
        return Fault(
            Kind.VERSION, "this is a ZVHD of version 1, another format than ZVHD2", 0, 8,
            "the cookie z2strm", "stream",
        )  # fmt: skip
    fault = _record_fault(Kind.HEADER, "header", data, 0)
    if fault is None and records.unpack_footer(data).zvhd2_version == 0:
        return _field(
            Kind.VERSION, "the container has no index: an older writer made it",
            _place(0, "zvhd2_version"), "1", "0",
        )  # fmt: skip
    return fault


def footer_fault(data: bytes, offset: int) -> Fault | None:
    """Look at the final footer, the 4096 bytes from `offset` to the end of the file."""
    if not data.startswith(records.COOKIE_START) and offset >= 0:
        return Fault(
            Kind.FOOTER,
            "the file does not end with a footer: it was cut short, is still being written, or has"
            " something after its end",
            offset, FOOTER_LENGTH, "the cookie z2strm", repr(data[:6])[1:],
        )  # fmt: skip
    return _record_fault(Kind.FOOTER, "final footer", data, offset)


def field_fault(footer: Footer, offset: int) -> Fault | None:
    """Look for a value in the final footer that the format does not have."""
    f, blocks = footer, 0
    if f.block_size in records.BLOCK_SIZES:
        blocks = ceil_div(f.orig_size, f.block_size)
    rounded = f"a multiple of {SECTOR} from"
    for good, name, expected in (
        (f.zvhd2_version == records.VERSION, "zvhd2_version", "1"),
        (f.block_size in records.BLOCK_SIZES, "block_size", "a power of two from 1 MiB to 32 MiB"),
        (f.compress_method in records.METHODS, "compress_method", "0 (zlib) or 1 (zstd)"),
        (f.index_contains_zero_blk in (0, 1), "index_contains_zero_blk", "0 or 1"),
        (0 < f.orig_size < SIZE_LIMIT and f.orig_size % SECTOR == 0, "orig_size", f"{rounded} 512"),
        (f.max_blk_num == blocks, "max_blk_num", str(blocks)),
        (
            f.orig_size <= f.curr_size < SIZE_LIMIT and f.curr_size % SECTOR == 0,
            "curr_size", f"{rounded} orig_size, {f.orig_size}",
        ),
        (f.non_zero_blk_num <= blocks, "non_zero_blk_num", f"at most {blocks}"),
    ):  # fmt: skip
        if not good:
            message = f"{name} has an impossible value"
            found = str(getattr(f, name))
            return _field(Kind.FIELD, message, _place(offset, name), expected, found)
    return None


SAME_DISK = ("orig_size", "curr_size", "uuid", "zvhd2_version", "block_size", "max_blk_num",
             "index_contains_zero_blk", "compress_method")  # fmt: skip


def other_disk_fault(header: Footer, footer: Footer, offset: int) -> Fault | None:
    """Compare what header and final footer say of the disk."""
    for name in SAME_DISK:
        first, last = getattr(header, name), getattr(footer, name)
        if first != last:
            expected, found = (v.hex() if isinstance(v, bytes) else str(v) for v in (first, last))
            return _field(
                Kind.OTHER_DISK, f"header and final footer differ in {name}",
                _place(offset, name), expected, found,
            )  # fmt: skip
    return None


def tables_fault(footer: Footer, size: int) -> Fault | None:
    """Compare counts and places of index and bitmap with each other and with the file's length."""
    at = size - FOOTER_LENGTH
    fault = _sizes_fault(footer, at) or _places_fault(footer, at)
    if fault is not None:
        return fault
    most = (footer.data_end - FOOTER_LENGTH) // ALIGNMENT
    if footer.non_zero_blk_num > most:
        return _field(
            Kind.TABLES, "more blocks than there is room for", _place(at, "non_zero_blk_num"),
            f"at most {most}", str(footer.non_zero_blk_num),
        )  # fmt: skip
    return None


TABLE_SIZES = ("index_seg_size", "index_seg_num", "index_size", "bitmap_seg_size",
               "bitmap_seg_num", "bitmap_size")  # fmt: skip


def _sizes_fault(footer: Footer, at: int) -> Fault | None:
    if footer.max_blk_num > MAX_BLOCKS:
        return _field(
            Kind.TABLES, "more blocks than are read here", _place(at, "max_blk_num"),
            f"at most {MAX_BLOCKS}", str(footer.max_blk_num),
        )  # fmt: skip
    wanted = records.final_footer(footer, footer.non_zero_blk_num, footer.index_lba)
    for name in TABLE_SIZES:
        if getattr(footer, name) != getattr(wanted, name):
            return _field(
                Kind.TABLES, f"{name} does not fit the number of blocks", _place(at, name),
                str(getattr(wanted, name)), str(getattr(footer, name)),
            )  # fmt: skip
    return None


def _places_fault(footer: Footer, at: int) -> Fault | None:
    """Look where the tables lie; the final footer, at `at`, ends the room for them."""
    index = range(footer.index_lba, footer.index_lba + footer.index_size)
    bitmap = range(footer.bitmap_lba, footer.bitmap_lba + footer.bitmap_size)
    for name, place in (("index", index), ("bitmap", bitmap)):
        # An index without entries lies nowhere.
        if place and (place.start % ALIGNMENT or place.start < FOOTER_LENGTH or place.stop > at):
            return _field(
                Kind.TABLES, f"the {name} of {len(place)} bytes does not lie inside the file",
                _place(at, f"{name}_lba"), f"a multiple of {ALIGNMENT} from {FOOTER_LENGTH} to"
                f" {at - len(place)}", str(place.start),
            )  # fmt: skip
    if index and index.start < bitmap.stop and bitmap.start < index.stop:
        return _field(
            Kind.TABLES, "index and bitmap overlap", _place(at, "bitmap_lba"),
            f"{index.stop} or more", str(bitmap.start),
        )  # fmt: skip
    return None


def entry_fault(footer: Footer, index: Entries) -> Fault | None:
    """Ask of each entry of the index that is used whether it points to where a record can be."""
    numbers = used_entries(footer, index)
    if len(numbers) != footer.non_zero_blk_num:
        return Fault(
            Kind.ENTRY, "the index has another number of records than the footer",
            footer.index_lba, footer.index_size, str(footer.non_zero_blk_num), str(len(numbers)),
        )  # fmt: skip
    used = index[numbers]
    offset, length, end = used["offset"], used["length"].astype(np.uint64), footer.data_end
    inside = np.minimum(offset, end)  # so that nothing wraps around
    tests: tuple[tuple[NDArray[np.bool_], str], ...] = (
        (used["block"] >= footer.max_blk_num, f"a block below {footer.max_blk_num}"),
        ((offset < FOOTER_LENGTH) | (offset % ALIGNMENT != 0) | (offset >= end),
         f"an offset from {FOOTER_LENGTH} to {end}, a multiple of {ALIGNMENT}"),
        ((length == 0) | (length % ALIGNMENT != 0)
         | (length > records.max_record_length(footer.block_size)) | (length > end - inside),
         f"a length that is a multiple of {ALIGNMENT} and ends by byte {end}, before the tables"),
    )  # fmt: skip
    if footer.index_contains_zero_blk:
        tests += ((used["block"] != numbers, "the entry of each block in its own place"),)
    for bad, expected in tests:
        where = np.flatnonzero(bad)
        if len(where):
            entry, number = used[where[0]], int(numbers[where[0]])
            return Fault(
                Kind.ENTRY,
                f"index entry {number} does not point to a block record{_more(where, 'entry')}",
                footer.index_lba + number * records.INDEX_ENTRY.itemsize,
                records.INDEX_ENTRY.itemsize,
                expected,
                f"block {entry['block']}, offset {entry['offset']}, length {entry['length']}",
            )
    return None


def used_entries(footer: Footer, index: Entries) -> NDArray[np.intp]:
    """Return the numbers of the entries that stand for a record; of all blocks, some do not."""
    if not footer.index_contains_zero_blk:
        return np.arange(len(index))
    return np.flatnonzero(index["offset"] | index["block"] | index["length"])


def twice_fault(by_block: Entries) -> Fault | None:
    """Look for a block that has two records; `by_block` are the entries in order of blocks."""
    where = np.flatnonzero(by_block["block"][1:] == by_block["block"][:-1])
    if not len(where):
        return None
    first, second = by_block[where[0]], by_block[where[0] + 1]
    return Fault(
        Kind.TWICE,
        f"block {first['block']} is stored twice{_more(where, 'block')}",
        int(second["offset"]), int(second["length"]),
        "each block once", f"records at bytes {first['offset']} and {second['offset']}",
    )  # fmt: skip


def overlap_fault(by_offset: Entries) -> Fault | None:
    """Look for records that share bytes; `by_offset` are sound entries in order of offsets."""
    ends = by_offset["offset"] + by_offset["length"]
    where = np.flatnonzero(by_offset["offset"][1:] < ends[:-1])
    if not len(where):
        return None
    first, second = by_offset[where[0]], by_offset[where[0] + 1]
    return Fault(
        Kind.OVERLAP,
        f"the records of blocks {first['block']} and {second['block']} overlap"
        + _more(where, "record"),
        int(second["offset"]), int(second["length"]),
        f"byte {ends[where[0]]} or later", str(second["offset"]),
    )  # fmt: skip


def bitmap_fault(footer: Footer, bitmap: bytes, by_block: Entries) -> Fault | None:
    """Compare the bitmap with the blocks that have records."""
    try:
        marked = records.unpack_bitmap(bitmap, footer).flags()
    except FormatError as error:
        return Fault(Kind.BITMAP, error.reason, error.offset or 0, 1)
    stored = np.zeros(len(marked), dtype=np.bool_)
    stored[by_block["block"]] = True
    where = np.flatnonzero(marked != stored)
    if not len(where):
        return None
    block = int(where[0])
    words = ("marked", "not stored") if marked[block] else ("not marked", "stored")
    return Fault(
        Kind.BITMAP,
        f"block {block} is {words[0]} in the bitmap and {words[1]}{_more(where, 'block')}",
        footer.bitmap_lba + block // 8, 1,
        f"{len(by_block)} marked blocks, those of the index", str(int(marked.sum())),
    )  # fmt: skip


def records_fault(
    entries: Entries, heads: NDArray[np.void], ends: NDArray[np.bytes_]
) -> Fault | None:
    """Compare records' heads (RECORD_HEAD) and last four bytes with their index entries."""
    lengths = entries["length"].astype(np.int64)
    sizes = heads["size"].astype(np.int64)
    around = records.BLOCK_HEADER_SIZE + len(records.POSTFIX) + ALIGNMENT - 1
    tests = (
        (heads["prefix"] != records.PREFIX, "the prefix `hwstream bg`", "prefix"),
        (heads["block"] != entries["block"], "the block's number as in the index", "block"),
        ((sizes == 0) | ((sizes + around) // ALIGNMENT * ALIGNMENT != lengths),
         "a payload that fills the record", "size"),
        (ends != records.POSTFIX, "`end` in the last four bytes", ""),
    )  # fmt: skip
    bad = np.logical_or.reduce([test for test, _, _ in tests])
    where = np.flatnonzero(bad)
    if not len(where):
        return None
    first = int(where[0])
    expected, name = next((e, name) for test, e, name in tests if test[first])
    found = heads[name][first] if name else ends[first]
    entry = entries[first]
    return Fault(
        Kind.RECORD, f"the record of block {entry['block']} is damaged{_more(where, 'record')}",
        int(entry["offset"]), int(entry["length"]), expected,
        repr(bytes(found))[1:] if isinstance(found, bytes) else str(found),
    )  # fmt: skip


def first_of(faults: Iterable[Fault | None]) -> Iterator[Fault]:
    """Yield what is a fault."""
    return (fault for fault in faults if fault is not None)


def _record_fault(kind: Kind, name: str, data: bytes, offset: int) -> Fault | None:
    """Look at cookie and checksum of a footer record."""
    if len(data) < FOOTER_LENGTH or offset < 0:
        return Fault(
            kind, f"the file is too short for a {name}", 0, len(data),
            f"{FOOTER_LENGTH} bytes", str(len(data)),
        )  # fmt: skip
    if not data.startswith(records.COOKIE_START):
        return Fault(
            kind, f"there is no {name}", offset, 8, "the cookie z2strm", repr(data[:6])[1:]
        )  # fmt: skip
    said, real = records.unpack_footer(data).checksum, records.checksum(data)
    if said == real:
        return None
    swapped = int.from_bytes(said.to_bytes(4, "little"), "big") == real
    return _field(
        kind,
        f"the {name} is big-endian" if swapped else f"the checksum of the {name} does not hold",
        _place(offset, "checksum"), f"{real:#010x}", f"{said:#010x}",
    )  # fmt: skip


def _field(kind: Kind, message: str, at: int, expected: str, found: str) -> Fault:
    """Return a fault of a record's field of 4 bytes."""
    return Fault(kind, message, at, 4, expected, found)


def _place(offset: int, name: str) -> int:
    """Return where a field of the record at `offset` lies."""
    return offset + records.field_offset(name)


def _more(where: NDArray[np.intp], what: str) -> str:
    more = len(where) - 1
    return f", and {counted(more, f'more {what}')}" if more else ""
