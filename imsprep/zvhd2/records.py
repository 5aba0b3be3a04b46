"""ZVHD2 as bytes: the records and tables of Huawei's container of compressed blocks.

A file is a *header*, a *block record* for each block that holds data, a *middle footer*, the
*index* (where each record lies), the *bitmap* (which blocks are stored) and the *final footer*.
Header and footers are the same record, `Footer`; a reader must use the last one. Index and bitmap
come in *segments* of 32768 blocks. Integers are little-endian, sizes are bytes; `index_lba` and
`bitmap_lba` are byte offsets, whatever their names say. Source: docs/zvhd2.md.

Here bytes become values and back. `faults` says whether the values make sense, `codec` packs the
blocks, `examine` reads files.
"""

from __future__ import annotations

import struct
from typing import Annotated, NamedTuple, get_type_hints

import numpy as np
from bitarray import bitarray
from numpy.typing import NDArray

from imsprep.errors import FormatError
from imsprep.image.blockmap import BlockMap
from imsprep.units import GIB, MIB, SECTOR, ceil_div, round_up

COOKIE = b"z2strm\0\0"
COOKIE_START = COOKIE[:6]  # what the published driver compares
PREFIX, POSTFIX = b"hwstream bg\0", b"end\0"
ALIGNMENT = 4096  # of every record and table
FOOTER_LENGTH = 4096  # in the file: the record, then zeros
BLOCK_SIZE = 2 * MIB  # what writers use; the published driver reads no other right
BLOCK_SIZES = tuple(MIB << shift for shift in range(6))  # that the format allows: 1 to 32 MiB
ZLIB, ZSTD = 0, 1  # compress_method
METHODS = {ZLIB: "zlib", ZSTD: "zstd"}
VERSION = 1  # zvhd2_version; at 0 there is no index, no bitmap, no final footer
CREATOR_VERSION = 0x00010004  # 1.4; an older writer said 1.3
EPOCH = 946684800  # 2000-01-01T00:00:00Z in Unix seconds, from which timestamps count

SEGMENT_BLOCKS = 32768  # blocks of an index or bitmap segment
INDEX_ENTRY = np.dtype(
    [
        ("offset", "<u8"),  # blk_offset: where the block record begins in the file
        ("block", "<u4"),  # blk_num: the block's number on the disk
        ("length", "<u4"),  # blk_disk_size: of the whole record, padding included
    ]
)
INDEX_SEGMENT = SEGMENT_BLOCKS * INDEX_ENTRY.itemsize  # 524288 bytes
BITMAP_SEGMENT = SEGMENT_BLOCKS // 8  # 4096 bytes
RECORD_HEAD = np.dtype(  # `BlockHeader` as a column of a table
    [("prefix", "S12"), ("size", "<u4"), ("block", "<u4"), ("rest", "V28")]
)

Entries = NDArray[np.void]  # of dtype INDEX_ENTRY

U8 = Annotated[int, "B"]
U32 = Annotated[int, "I"]
U64 = Annotated[int, "Q"]


class Footer(NamedTuple):
    """The header's and the footers' record, 512 bytes; the defaults are what writers write."""

    cookie: Annotated[bytes, "8s"] = COOKIE
    features: U32 = 2
    ff_version: U32 = 0x00010000
    data_offset: U64 = 0xFFFFFFFFFFFFFFFF
    timestamp: U32 = 0  # seconds since 2000-01-01T00:00:00Z
    creator_app: Annotated[bytes, "4s"] = b"tap\0"
    creator_version: U32 = CREATOR_VERSION
    creator_os: U32 = 0
    orig_size: U64 = 0  # of the disk, rounded up to 512
    curr_size: U64 = 0  # orig_size rounded up to a GiB: the virtual size a reader reports
    geometry: U32 = 0  # cylinders << 16 | heads << 8 | sectors
    type: U32 = 4
    checksum: U32 = 0
    uuid: Annotated[bytes, "16s"] = bytes(16)
    saved: U8 = 0
    hidden: U8 = 0
    align_64: U8 = 0
    zvhd2_version: U8 = VERSION
    block_size: U32 = BLOCK_SIZE
    max_blk_num: U32 = 0  # blocks of orig_size
    index_lba: U64 = 0  # this and the next six are 0 in the header
    bitmap_lba: U64 = 0
    index_size: U32 = 0
    bitmap_size: U32 = 0
    index_seg_size: U32 = 0
    bitmap_seg_size: U32 = 0
    index_seg_num: U32 = 0
    bitmap_seg_num: U32 = 0
    non_zero_blk_num: U32 = 0  # block records
    index_contains_zero_blk: U8 = 0  # 1: the index has an entry for each block of the disk
    compress_method: U8 = ZSTD
    reserved: Annotated[bytes, "370s"] = bytes(370)

    @property
    def index_entries(self) -> int:
        """The number of entries that the index has to have."""
        return self.max_blk_num if self.index_contains_zero_blk else self.non_zero_blk_num

    @property
    def data_end(self) -> int:
        """The offset at which block records must have ended: that of the first table."""
        return min(self.index_lba, self.bitmap_lba) if self.index_size else self.bitmap_lba


class BlockHeader(NamedTuple):
    """What stands in front of each compressed block, 48 bytes."""

    prefix: Annotated[bytes, "12s"] = PREFIX
    size: U32 = 0  # of the payload, bytes
    curr_blk: U32 = 0  # the block's number on the disk
    compressed: U8 = 0
    reserved: Annotated[bytes, "3s"] = bytes(3)
    orig_size: U32 = 0
    reserved_2: Annotated[bytes, "20s"] = bytes(20)


def _layout(record: type) -> struct.Struct:
    hints = get_type_hints(record, include_extras=True)
    return struct.Struct("<" + "".join(hint.__metadata__[0] for hint in hints.values()))


_FOOTER, _BLOCK_HEADER = _layout(Footer), _layout(BlockHeader)
FOOTER_SIZE, BLOCK_HEADER_SIZE = _FOOTER.size, _BLOCK_HEADER.size  # 512 and 48 bytes


def new_header(
    size: int,
    *,
    block_size: int = BLOCK_SIZE,
    method: int = ZSTD,
    uuid: bytes = bytes(16),
    timestamp: int = 0,
) -> Footer:
    """Return the header for a disk of `size` bytes; `timestamp` in seconds since 2000."""
    size = round_up(size, SECTOR)
    return Footer(
        orig_size=size,
        curr_size=round_up(size, GIB),
        geometry=geometry(size),
        uuid=uuid,
        timestamp=timestamp,
        block_size=block_size,
        max_blk_num=ceil_div(size, block_size),
        compress_method=method,
    )


def final_footer(header: Footer, records: int, index_lba: int) -> Footer:
    """Return the final footer for a header: `records` stored blocks, the index at `index_lba`.

    The bitmap follows the index at once, and the final footer the bitmap.
    """
    footer = header._replace(non_zero_blk_num=records, index_lba=index_lba)
    index_segments = ceil_div(footer.index_entries, SEGMENT_BLOCKS)
    bitmap_segments = ceil_div(footer.max_blk_num, SEGMENT_BLOCKS)
    return footer._replace(
        bitmap_lba=index_lba + index_segments * INDEX_SEGMENT,
        index_size=index_segments * INDEX_SEGMENT,
        bitmap_size=bitmap_segments * BITMAP_SEGMENT,
        index_seg_size=INDEX_SEGMENT,
        bitmap_seg_size=BITMAP_SEGMENT,
        index_seg_num=index_segments,
        bitmap_seg_num=bitmap_segments,
    )


def pack_footer(footer: Footer) -> bytes:
    """Return the record's 512 bytes with its checksum computed, whatever the value says."""
    return _FOOTER.pack(*footer._replace(checksum=checksum(_FOOTER.pack(*footer))))


def unpack_footer(data: bytes, offset: int = 0) -> Footer:
    """Read a footer from its first 512 bytes; nothing but the length is checked.

    `offset` is where it lies in the file, for the FormatError that short data gives.
    """
    if len(data) < FOOTER_SIZE:
        raise FormatError(
            f"a footer is cut short: {len(data)} of its {FOOTER_SIZE} bytes are there",
            offset=offset,
        )
    return Footer(*_FOOTER.unpack_from(data))


def checksum(record: bytes) -> int:
    """Return the checksum of a footer's 512 bytes; what its own field holds does not count."""
    at = _FOOTER_OFFSETS["checksum"]
    return ~(sum(record[:FOOTER_SIZE]) - sum(record[at : at + 4])) & 0xFFFFFFFF


def field_offset(name: str) -> int:
    """Return where a field of `Footer` lies in its record."""
    return _FOOTER_OFFSETS[name]


def _offsets(record: type) -> dict[str, int]:
    found, at = {}, 0
    for name, hint in get_type_hints(record, include_extras=True).items():
        found[name] = at
        at += struct.calcsize("<" + hint.__metadata__[0])
    return found


_FOOTER_OFFSETS = _offsets(Footer)


def record_pieces(block: int, payload: bytes) -> tuple[bytes, bytes, bytes]:
    """Return head, payload and tail of a whole block record; the tail ends with `end` and a zero.

    Between payload and `end` stand zeros.
    """
    head = _BLOCK_HEADER.pack(*BlockHeader(size=len(payload), curr_blk=block))
    tail = record_length(len(payload)) - len(head) - len(payload)
    return head, payload, POSTFIX.rjust(tail, b"\0")


def pack_record(block: int, payload: bytes) -> bytes:
    """Return a whole block record: head, payload, zeros, and `end` with a zero byte."""
    return b"".join(record_pieces(block, payload))


def unpack_block_header(data: bytes, offset: int = 0) -> BlockHeader:
    """Read a block record's head; nothing but the length is checked."""
    if len(data) < BLOCK_HEADER_SIZE:
        raise FormatError(
            f"the header of a block record is cut short: {len(data)} of its {BLOCK_HEADER_SIZE}"
            " bytes are there",
            offset=offset,
        )
    return BlockHeader(*_BLOCK_HEADER.unpack_from(data))


def record_length(payload: int) -> int:
    """Return the length of the block record around `payload` compressed bytes."""
    return round_up(BLOCK_HEADER_SIZE + payload + len(POSTFIX), ALIGNMENT)


def max_record_length(block_size: int) -> int:
    """Return the longest record that is read: where the published driver's buffer ends."""
    return FOOTER_LENGTH + round_up(2 * block_size + block_size // 1000 + 128, ALIGNMENT)


def pack_index(entries: Entries) -> bytes:
    """Return the index: the entries, and zeros up to whole segments."""
    raw = entries.tobytes()
    return raw.ljust(round_up(len(raw), INDEX_SEGMENT), b"\0")


def pack_bitmap(block_map: BlockMap) -> bytes:
    """Return the bitmap: a bit per block, lowest bit first, and zeros up to whole segments."""
    raw = block_map.bits.tobytes()
    return raw.ljust(round_up(len(raw), BITMAP_SEGMENT), b"\0")


def unpack_bitmap(data: bytes, footer: Footer) -> BlockMap:
    """Return the block map of the disk (of orig_size) from the bitmap's bytes.

    Raises FormatError for too few bytes and for a bit behind the last block.
    """
    blocks = ceil_div(footer.orig_size, footer.block_size)
    bits = bitarray(endian="little")
    bits.frombytes(data)
    if len(bits) < blocks:
        raise FormatError(
            f"the bitmap has {len(bits)} bits, the disk {blocks} blocks", offset=footer.bitmap_lba
        )
    beyond = bits.find(1, blocks)
    if beyond >= 0:
        raise FormatError(
            f"the bitmap marks block {beyond}, the disk has {blocks} blocks",
            offset=footer.bitmap_lba + beyond // 8,
        )
    return BlockMap(footer.orig_size, footer.block_size, bits[:blocks])


def geometry(size: int) -> int:
    """Return cylinders, heads and sectors of a disk of `size` bytes, as a VHD states them.

    Source: Virtual Hard Disk Image Format Specification 1.0 (2006), appendix "CHS calculation".
    """
    sectors = min(max(1, ceil_div(size, SECTOR)), 65535 * 16 * 255)
    if sectors >= 65535 * 16 * 63:
        heads, per_track = 16, 255
    else:
        per_track = 17
        heads = max(4, ceil_div(sectors // per_track, 1024))
        if sectors // per_track >= heads * 1024 or heads > 16:
            heads, per_track = 16, 31
        if sectors // per_track >= heads * 1024:
            heads, per_track = 16, 63
    cylinders = sectors // per_track // heads
    return cylinders << 16 | heads << 8 | per_track
