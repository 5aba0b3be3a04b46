"""ZVHD2 as bytes: records and tables, against files that the published driver wrote."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from imsprep.errors import FormatError
from imsprep.image.blockmap import BlockMap
from imsprep.units import GIB, MIB
from imsprep.zvhd2 import records
from imsprep.zvhd2.codec import LEVELS, Packer, Unpacker
from tests.support.zvhd2.goldens import FACTS, NAMES, disk_bytes, golden

# Written by the published driver: the first 142 bytes of header and final footer.
COMMON = "7a32737472 6d0000 02000000 00000100 ffffffffffffffff"
FOOTERS = [
    (
        records.new_header(2 * MIB, timestamp=0x329700A5)._replace(checksum=0xFFFFE815),
        COMMON + "a5009732 74617000 04000100 00000000 0000200000000000 0000004000000000 11043c00"
        "04000000 15e8ffff 26499a680ff745ee99eec2dfdfc5a2d5 00000001 00002000 01000000"
        "0000000000000000 0000000000000000 00000000 00000000 00000000 00000000 00000000 00000000"
        "00000000 00 01",
    ),
    (
        records.Footer(
            timestamp=0x329700A9, orig_size=66 * GIB, curr_size=66 * GIB, geometry=0x848410FF,
            checksum=0xFFFFE522, max_blk_num=33792, index_lba=0x6000, bitmap_lba=0x86000,
            index_size=524288, bitmap_size=8192, index_seg_size=524288, bitmap_seg_size=4096,
            index_seg_num=1, bitmap_seg_num=2, non_zero_blk_num=4,
        ),
        COMMON + "a9009732 74617000 04000100 00000000 0000008010000000 0000008010000000 ff108484"
        "04000000 22e5ffff 10ddb259d8274dcc92ecfa05e158fb03 00000001 00002000 00840000"
        "0060000000000000 0060080000000000 00000800 00200000 00000800 00100000 01000000 02000000"
        "04000000 00 01",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("footer", "written"), FOOTERS)
def test_a_footer_is_read_and_written_as_the_driver_does(
    footer: records.Footer, written: str
) -> None:
    data = bytes.fromhex(written) + bytes(370)
    uuid = data[68:84]  # random
    assert records.unpack_footer(data) == footer._replace(uuid=uuid)
    assert records.pack_footer(footer._replace(uuid=uuid, checksum=0)) == data


@pytest.mark.parametrize("name", NAMES)
def test_every_record_of_a_golden_comes_back_byte_for_byte(name: str) -> None:
    data = golden(name)
    header, footer = records.unpack_footer(data), records.unpack_footer(data[-4096:])
    made = records.new_header(
        FACTS[name]["raw_size"],
        method=FACTS[name]["compress_method"],
        uuid=header.uuid,
        timestamp=header.timestamp,
    )
    assert records.pack_footer(made) == data[:512]
    final = records.final_footer(made, len(FACTS[name]["nonzero_blocks"]), footer.index_lba)
    assert records.pack_footer(final) == data[-4096:-3584]
    entries = np.frombuffer(data, records.INDEX_ENTRY, footer.index_entries, footer.index_lba)
    index = data[footer.index_lba : footer.bitmap_lba]
    assert records.pack_index(entries) == index
    bitmap = data[footer.bitmap_lba : footer.bitmap_lba + footer.bitmap_size]
    block_map = records.unpack_bitmap(bitmap, footer)
    assert np.flatnonzero(block_map.flags()).tolist() == FACTS[name]["nonzero_blocks"]
    assert records.pack_bitmap(block_map) == bitmap


@pytest.mark.parametrize("name", NAMES)
def test_every_block_of_a_golden_is_unpacked_and_packed_as_the_driver_does(name: str) -> None:
    data = golden(name)
    footer = records.unpack_footer(data[-4096:])
    unpack = Unpacker(footer.compress_method, footer.block_size)
    pack = Packer(
        footer.compress_method, {records.ZLIB: 1, records.ZSTD: 3}[footer.compress_method]
    )
    for entry in np.frombuffer(data, records.INDEX_ENTRY, footer.index_entries, footer.index_lba):
        record = data[entry["offset"] : entry["offset"] + entry["length"]]
        head = records.unpack_block_header(record)
        payload = record[records.BLOCK_HEADER_SIZE :][: head.size]
        block = unpack(payload)
        assert block == disk_bytes(name, int(entry["block"]) * 2 * MIB, 2 * MIB)
        made = records.pack_record(int(entry["block"]), payload)
        # Between payload and `end` the driver leaves what its buffer held.
        assert (made[: 48 + head.size], made[-4:]) == (record[: 48 + head.size], record[-4:])
        assert len(made) == len(record)
        assert unpack(pack(block)) == block


@pytest.mark.parametrize(
    ("size", "chs"),
    [
        (512, (0, 4, 17)), (2 * MIB, (60, 4, 17)), (4 * MIB, (120, 4, 17)), (200 * MIB, (825, 16, 31)), (GIB, (2080, 16, 63)),
        (65535 * 16 * 63 * 512 - 512, (65534, 16, 63)), (65535 * 16 * 63 * 512, (16191, 16, 255)),
        (5125 * 17 * 512, (854, 6, 17)), (66 * GIB, (33924, 16, 255)), (1024 * GIB, (65535, 16, 255)),
    ],
)  # fmt: skip
def test_geometry_is_that_of_the_vhd_specification(size: int, chs: tuple[int, int, int]) -> None:
    assert records.geometry(size) == chs[0] << 16 | chs[1] << 8 | chs[2]


def test_sizes_of_the_records_are_those_of_the_specification() -> None:
    sizes = (records.FOOTER_SIZE, records.BLOCK_HEADER_SIZE, records.INDEX_ENTRY.itemsize)
    assert sizes == (512, 48, 16)
    assert records.RECORD_HEAD.itemsize == records.BLOCK_HEADER_SIZE
    assert (records.INDEX_SEGMENT, records.BITMAP_SEGMENT) == (524288, 4096)
    assert [records.record_length(n) for n in (1, 4044, 4045, 8140, 8141)] == [
        4096, 4096, 8192, 8192, 12288,
    ]  # fmt: skip
    assert records.field_offset("checksum") == 64
    assert records.field_offset("reserved") == 142


@given(st.data())
def test_a_footer_survives_packing_and_any_flipped_byte_is_noticed(data: st.DataObject) -> None:
    widths = {"I": 2**32 - 1, "Q": 2**64 - 1, "B": 255}
    values = {}
    for name, hint in records.Footer.__annotations__.items():
        kind = hint.__metadata__[0] if hasattr(hint, "__metadata__") else None
        kind = kind or {"U8": "B", "U32": "I", "U64": "Q"}.get(str(hint), "")
        if kind in widths:
            values[name] = data.draw(st.integers(0, widths[kind]), name)
    packed = records.pack_footer(records.Footer(**values))
    read = records.unpack_footer(packed)
    assert read == records.Footer(**values)._replace(checksum=read.checksum)
    assert records.checksum(packed) == read.checksum
    at, flip = data.draw(st.integers(0, 511)), data.draw(st.integers(1, 255))
    broken = bytearray(packed)
    broken[at] ^= flip
    assert records.checksum(bytes(broken)) != records.unpack_footer(bytes(broken)).checksum


@given(st.integers(1, 40000), st.data())
def test_a_bitmap_survives_packing_and_a_bit_behind_the_disk_is_refused(
    blocks: int, data: st.DataObject
) -> None:
    header = records.new_header(blocks * 2 * MIB)
    flags = np.random.default_rng(blocks).random(blocks) < 0.5
    block_map = BlockMap.from_flags(header.orig_size, header.block_size, flags)
    packed = records.pack_bitmap(block_map)
    footer = records.final_footer(header, int(flags.sum()), 4096)
    assert len(packed) == footer.bitmap_size
    assert records.unpack_bitmap(packed, footer) == block_map
    bit = data.draw(st.integers(blocks, len(packed) * 8)) % (len(packed) * 8)
    if bit >= blocks:
        broken = bytearray(packed)
        broken[bit // 8] |= 1 << bit % 8
        with pytest.raises(FormatError, match=f"marks block {bit},"):
            records.unpack_bitmap(bytes(broken), footer)


@pytest.mark.parametrize("data", [b"", bytes(47), bytes(511)])
def test_short_records_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match="at byte 4096"):
        records.unpack_footer(data, 4096)
    if len(data) < 48:
        with pytest.raises(FormatError, match="at byte 4096"):
            records.unpack_block_header(data, 4096)


BLOCK = 1 * MIB


@pytest.mark.parametrize(
    ("method", "level"), [(m, level) for m in LEVELS for level in (1, 3, LEVELS[m][-1])]
)
@given(seed=st.integers(0, 2**32 - 1), dense=st.booleans())
def test_what_is_packed_is_unpacked_to_the_same_block(
    method: int, level: int, seed: int, dense: bool
) -> None:
    random = np.random.default_rng(seed)
    block = random.bytes(4096) * (BLOCK // 4096) if dense else random.bytes(9).ljust(BLOCK, b"\0")
    payload = Packer(method, level)(block)
    assert Unpacker(method, BLOCK)(payload) == block
    assert Packer(method, level)(block) == payload


def test_a_zlib_payload_is_flushed_and_not_finished() -> None:
    payload = Packer(records.ZLIB, 1)(bytes(BLOCK))
    stream = zlib.decompressobj()
    stream.decompress(payload)
    assert not stream.eof
    assert payload.endswith(b"\0\0\xff\xff")
    assert Unpacker(records.ZLIB, BLOCK)(zlib.compress(bytes(BLOCK))) == bytes(BLOCK)


ONE = zstandard.ZstdCompressor().compress(bytes(BLOCK))
UNSIZED = zstandard.ZstdCompressor(write_content_size=False)
# A frame's header that claims 2^60 bytes, and a window as large as the format can say.
BOMB_HEADER = b"\x28\xb5\x2f\xfd\xe0" + (1 << 60).to_bytes(8, "little")
WINDOW = b"\x28\xb5\x2f\xfd\x00\xff" + ONE[9:]

NO_BLOCKS = {
    "nothing": b"",
    "a magic": ONE[:4],
    "cut": ONE[:-1],
    "two frames": ONE + ONE,
    "something behind": ONE + b"\0",
    "a frame to skip": b"\x50\x2a\x4d\x18\4\0\0\0abcd",
    "too short": zstandard.ZstdCompressor().compress(bytes(BLOCK - 1)),
    "too long": zstandard.ZstdCompressor().compress(bytes(BLOCK + 1)),
    "too short, unsized": UNSIZED.compress(bytes(BLOCK - 1)),
    "too long, unsized": UNSIZED.compress(bytes(BLOCK + 1)),
    "a bomb, unsized": UNSIZED.compress(bytes(64 * BLOCK)),
    "a claim of 2^60": BOMB_HEADER + ONE[9:],
    "a huge window": WINDOW,
    "zlib": zlib.compress(bytes(BLOCK)),
}


@pytest.mark.parametrize("payload", NO_BLOCKS.values(), ids=NO_BLOCKS)
def test_a_zstd_payload_that_is_not_one_block_is_refused(payload: bytes) -> None:
    with pytest.raises(FormatError):
        Unpacker(records.ZSTD, BLOCK)(payload)


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"\x78", ONE, zlib.compress(bytes(BLOCK - 1)), zlib.compress(bytes(BLOCK + 1)),
        zlib.compress(bytes(64 * BLOCK)), zlib.compress(bytes(BLOCK)) + b"\0",
        Packer(records.ZLIB, 1)(bytes(BLOCK + 1)), Packer(records.ZLIB, 1)(bytes(BLOCK - 1)),
        zlib.compress(bytes(BLOCK))[:-9],
    ],
)  # fmt: skip
def test_a_zlib_payload_that_is_not_one_block_is_refused(payload: bytes) -> None:
    with pytest.raises(FormatError):
        Unpacker(records.ZLIB, BLOCK)(payload)


@given(st.binary(max_size=200), st.sampled_from([records.ZLIB, records.ZSTD]))
def test_garbage_is_refused_with_a_format_error(payload: bytes, method: int) -> None:
    for data in (payload, ONE[:9] + payload, b"\x78\x01" + payload):
        with pytest.raises(FormatError):
            Unpacker(method, BLOCK)(data)


def test_a_new_header_says_nothing_that_only_a_footer_knows() -> None:
    header = records.new_header(3 << 30, method=records.ZSTD, timestamp=7, uuid=bytes(16))
    assert (header.timestamp, header.max_blk_num, header.orig_size) == (7, 1536, 3 << 30)
    assert (header.index_size, header.bitmap_size, header.non_zero_blk_num) == (0, 0, 0)
    plain = records.Footer()
    assert (plain.timestamp, plain.checksum, plain.max_blk_num, plain.orig_size) == (0, 0, 0, 0)


@pytest.mark.parametrize(("size", "sectors", "blocks", "gib"), [
    (1, 1, 1, 1), (512, 1, 1, 1), (513, 2, 1, 1), (2 * MIB, 4096, 1, 1), (2 * MIB + 1, 4097, 2, 1),
    ((1 << 30) - 1, 1 << 21, 512, 1), (1 << 30, 1 << 21, 512, 1),
    ((1 << 30) + 1, (1 << 21) + 1, 513, 2),
])  # fmt: skip
def test_a_disk_has_whole_sectors_and_shows_itself_as_whole_gib(
    size: int, sectors: int, blocks: int, gib: int
) -> None:
    header = records.new_header(size)
    assert (header.orig_size, header.max_blk_num) == (512 * sectors, blocks)
    assert header.curr_size == gib << 30


@pytest.mark.parametrize("block_size", records.BLOCK_SIZES)
def test_the_longest_record_is_where_the_published_driver_s_buffer_ends(block_size: int) -> None:
    # docs/zvhd2.md: twice a block, a thousandth of it and 128 bytes, in pages, and a page.
    pages = -(-(2 * block_size + block_size // 1000 + 128) // 4096) + 1
    assert records.max_record_length(block_size) == pages * 4096


def test_records_are_written_as_the_specification_has_them() -> None:
    """What writers write where nothing else is said, byte for byte."""
    footer = b"z2strm\0\0" + bytes.fromhex("02000000 00000100 ffffffffffffffff 00000000")
    footer += b"tap\0" + bytes.fromhex("04000100") + bytes(4 + 8 + 8 + 4) + b"\4\0\0\0"
    packed = records.pack_footer(records.Footer())
    assert packed[: len(footer)] == footer
    assert packed[len(footer) + 4 :] == (
        bytes(16 + 3) + b"\1" + bytes.fromhex("00002000") + bytes(49) + b"\1" + bytes(370)
    )
    head = b"hwstream bg\0" + bytes(36)
    assert b"".join(records.record_pieces(0, b""))[:48] == head
    assert records.BlockHeader() == records.unpack_block_header(head)
    assert records.COOKIE_START == b"z2strm"
    assert datetime.fromtimestamp(records.EPOCH, UTC).isoformat() == "2000-01-01T00:00:00+00:00"


def test_an_error_names_the_place() -> None:
    for unpack in (records.unpack_footer, records.unpack_block_header):
        for at in (0, 4096):
            with pytest.raises(FormatError) as caught:
                unpack(b"short", at)
            assert caught.value.offset == at
        with pytest.raises(FormatError) as caught:
            unpack(b"short")
        assert caught.value.offset == 0
    footer = records.Footer(orig_size=20 * 2 * MIB, bitmap_lba=8192)
    with pytest.raises(FormatError, match="marks block 21, the disk has 20 blocks") as caught:
        records.unpack_bitmap(bytes([0, 0, 0x20, 1]), footer)
    assert caught.value.offset == 8192 + 2
    with pytest.raises(FormatError, match="the bitmap has 16 bits, the disk 20 blocks") as caught:
        records.unpack_bitmap(bytes(2), footer)
    assert caught.value.offset == 8192
