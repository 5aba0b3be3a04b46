"""Reading ZVHD2 files: the driver's own, every legal shape, and the disk as a file."""

from __future__ import annotations

import hashlib
import io
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imsprep.errors import FormatError, ImageChangedError, ReadError
from imsprep.image.blockmap import BlockMap
from imsprep.image.file import RawImage
from imsprep.units import GIB, MIB
from imsprep.zvhd2 import records
from imsprep.zvhd2.codec import Packer
from imsprep.zvhd2.examine import Examination, check_records, examine
from imsprep.zvhd2.faults import Stage
from imsprep.zvhd2.reader import PackedDisk, Zvhd2Reader
from tests.support.zvhd2.files import build, reading
from tests.support.zvhd2.goldens import FACTS, NAMES, disk_bytes, golden


def look(data: bytes) -> Examination:
    """Examine a file in memory, which must never be read outside."""
    return examine(reading(data), len(data))


def reader(data: bytes) -> Zvhd2Reader:
    return Zvhd2Reader(look(data).container_or_raise(), reading(data))


@pytest.mark.parametrize("name", NAMES)
def test_a_golden_is_sound_and_holds_the_disk_it_was_made_of(name: str) -> None:
    data, facts = golden(name), FACTS[name]
    found = look(data)
    assert (found.faults, found.stage) == ((), Stage.INDEX)
    container = found.container_or_raise()
    assert check_records(container, reading(data)) is None
    assert container.virtual_size == facts["virtual_size"]
    assert container.original_size == facts["raw_size"]
    assert len(container.block_map) == facts["blocks"]
    stored = np.flatnonzero(container.block_map.flags()).tolist()
    assert stored == facts["nonzero_blocks"] == container.entries["block"].tolist()
    assert found.middle_footer == ("stale" if stored else "valid")
    assert (found.index_ascends, found.records_ascend) == (True, True)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if FACTS[name]["raw_sha256"]])
def test_a_golden_reads_as_the_very_disk(name: str, tmp_path: Path) -> None:
    path = tmp_path / "disk.zvhd2"
    path.write_bytes(golden(name))
    digest, facts = hashlib.sha256(), FACTS[name]
    with Zvhd2Reader.open(path) as file:
        assert file.seek(0, io.SEEK_END) == file.size == facts["virtual_size"]
        file.seek(0)
        left = facts["raw_size"]
        while left:
            piece = file.read(min(left, 3 * MIB + 1))
            digest.update(piece)
            left -= len(piece)
        assert digest.hexdigest() == facts["raw_sha256"]
        assert not any(file.read(MIB))  # what was added up to a whole GiB is zeros
        file.seek(-5, io.SEEK_END)
        assert len(file.read()) == 5


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15)
@given(st.data())
def test_any_range_of_a_golden_is_that_of_its_disk(name: str, data: st.DataObject) -> None:
    file = reader(golden(name))
    edges = [block * 2 * MIB for block in FACTS[name]["nonzero_blocks"]] + [0, file.size]
    for _ in range(3):
        near = data.draw(st.sampled_from(edges)) + data.draw(st.integers(-5 * MIB, 5 * MIB))
        offset = min(max(0, near), file.size)
        length = data.draw(st.integers(0, 5 * MIB))
        expected = disk_bytes(name, offset, min(length, file.size - offset))
        assert file.pread(offset, length) == expected
        assert file.seek(offset) == offset
        assert file.read(length) == expected
        assert file.tell() == offset + len(expected)


BLOCK = MIB


def check_shape(
    numbers: list[int],
    *,
    method: int = records.ZSTD,
    all_blocks: bool = False,
    sorted_index: bool = False,
    middle: bool = True,
    size: int = 41 * BLOCK,
) -> None:
    """Blocks with these numbers, their records in this order: the disk is the same."""
    content = {n: bytes([n + 1]) * (n * 1000 + 7) for n in numbers}
    built = build(
        content, size, block_size=BLOCK, method=method, all_blocks=all_blocks,
        index_in_written_order=not sorted_index, middle=middle,
    )  # fmt: skip
    found = look(built.data)
    assert found.faults == ()
    container = found.container_or_raise()
    assert check_records(container, reading(built.data)) is None
    in_order = numbers == sorted(numbers)
    assert found.records_ascend == in_order
    assert found.index_ascends == (in_order or sorted_index or all_blocks)
    assert found.middle_footer == ("none" if not middle else "stale" if numbers else "valid")
    file = reader(built.data)
    assert file.size == GIB
    disk = bytearray(41 * BLOCK)
    for number, data in content.items():
        disk[number * BLOCK : number * BLOCK + len(data)] = data
    assert file.read(41 * BLOCK) == disk
    assert [b for b in range(41) if file.block_map[b]] == sorted(numbers)
    for number in range(41):
        assert file.read_block(number) == disk[number * BLOCK : (number + 1) * BLOCK]


@pytest.mark.slow
@settings(max_examples=50)
@given(
    numbers=st.lists(st.integers(0, 40), unique=True, max_size=8),
    method=st.sampled_from([records.ZLIB, records.ZSTD]),
    all_blocks=st.booleans(),
    sorted_index=st.booleans(),
    middle=st.booleans(),
    size=st.integers(41 * BLOCK - 1000, 41 * BLOCK),
)
def test_every_legal_shape_reads_the_same(numbers: list[int], **shape: Any) -> None:
    """Shuffled records, both kinds of index, both codecs."""
    check_shape(numbers, **shape)


@pytest.mark.parametrize("shape", [{}, {"sorted_index": True}, {"all_blocks": True}])
def test_records_out_of_order_are_found_by_their_numbers(shape: dict[str, bool]) -> None:
    check_shape([7, 40, 2, 3], **shape)


@pytest.mark.slow
def test_two_segments_of_index_and_three_of_bitmap_are_read() -> None:
    """A container of 33,000 records, in any order, that is made as it is read."""
    count, block_size = 33000, MIB
    header = records.new_header(70000 * block_size, block_size=block_size)
    places = np.random.default_rng(7).permutation(count)
    entries = np.zeros(count, records.INDEX_ENTRY)
    entries["block"] = np.sort(np.random.default_rng(8).permutation(70000)[:count])
    entries["offset"], entries["length"] = 4096 + 4096 * places, 4096
    footer = records.final_footer(header, count, 4096 + 4096 * count)
    assert (footer.index_seg_num, footer.bitmap_seg_num) == (2, 3)
    flags = np.zeros(70000, dtype=np.bool_)
    flags[entries["block"]] = True
    tables = records.pack_index(entries) + records.pack_bitmap(
        BlockMap.from_flags(header.orig_size, block_size, flags)
    )
    ends = {0: records.pack_footer(header).ljust(4096, b"\0")}
    ends[footer.index_lba + len(tables)] = records.pack_footer(footer).ljust(4096, b"\0")
    blocks = dict(zip((4096 + 4096 * places).tolist(), entries["block"].tolist(), strict=True))
    template = records.pack_record(0, Packer(records.ZSTD, 1)(b"same".ljust(block_size, b"\0")))

    def record(at: int) -> bytes:
        return template[:16] + blocks[at].to_bytes(4, "little") + template[20:]

    def read(offset: int, length: int) -> bytes:
        if offset in ends:
            return ends[offset][:length]
        if offset >= footer.index_lba:
            start = offset - footer.index_lba
            return tables[start : start + length]
        first = offset // 4096 * 4096
        pieces = (record(at) if at in blocks else bytes(4096) for at in (first, first + 4096))
        return b"".join(pieces)[offset - first :][:length]

    found = examine(read, footer.index_lba + len(tables) + 4096)
    assert found.faults == ()
    assert (found.index_ascends, found.records_ascend) == (True, False)
    container = found.container_or_raise()
    assert check_records(container, read) is None
    reader = Zvhd2Reader(container, read)
    for block in (int(entries["block"][n]) for n in (0, 32767, 32768, count - 1)):
        assert reader.pread(block * block_size, 6) == b"same\0\0"
    assert container.stored_size == 4096 * count
    for place in (4096, 4096 * count):  # the first record, and the last
        wrong, blocks[place] = blocks[place], 70000
        fault = check_records(container, read)
        assert fault is not None
        assert f"block {wrong} " in fault.message
        blocks[place] = wrong


def test_the_size_of_all_records_may_need_more_than_32_bits() -> None:
    container = look(golden("scattered")).container_or_raise()
    entries = np.ones(3, records.INDEX_ENTRY)
    entries["length"] = 2**31
    assert replace(container, entries=entries).stored_size == 3 * 2**31


def test_reads_by_many_threads_are_right() -> None:
    content = {n: bytes([n + 1]) * BLOCK for n in range(0, 60, 2)}
    file = reader(build(content, 60 * BLOCK, block_size=BLOCK).data)
    rng = np.random.default_rng(3)
    places = [(int(a), int(b)) for a, b in rng.integers(0, [59 * BLOCK, 3 * BLOCK], (200, 2))]

    def right(place: tuple[int, int]) -> bool:
        offset, length = place
        got = np.frombuffer(file.pread(offset, length), np.uint8)
        inside = got[:: BLOCK // 8]
        blocks = np.arange(offset, offset + len(got), BLOCK // 8) // BLOCK
        return bool((inside == np.where((blocks % 2 == 1) | (blocks >= 60), 0, blocks + 1)).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(right, places))


@pytest.mark.slow
def test_blocks_are_unpacked_by_many_threads_at_once() -> None:
    """Each has a codec of its own; of one together they would get each other's bytes."""
    rng = np.random.default_rng(3)
    content = {n: rng.integers(0, 4, BLOCK, dtype=np.uint8).tobytes() for n in range(4)}
    file = reader(build(content, 4 * BLOCK, block_size=BLOCK).data)
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(file.read_block, [0, 1, 2, 3] * 50))
    assert read == [content[n] for n in range(4)] * 50


def test_only_a_few_unpacked_blocks_are_kept() -> None:
    content = {n: bytes([1]) for n in range(50)}
    file = reader(build(content, 50 * BLOCK, block_size=BLOCK).data)
    file.read(50 * BLOCK)
    unpacked: list[int] = []
    file.read_block, read = (lambda n: unpacked.append(n) or read(n)), file.read_block
    for block in (18, 49, 0, 18, 19):  # of the last 32 the first goes that nobody asked for again
        file.pread(block * BLOCK, 10)
    assert unpacked == [0, 19]


def test_it_is_a_read_only_file_with_a_position() -> None:
    file = reader(golden("one_block"))
    assert (file.readable(), file.seekable(), file.writable()) == (True, True, False)
    assert file.seek(10) == 10
    assert file.seek(5, io.SEEK_CUR) == 15
    assert file.seek(2 * GIB) == 2 * GIB
    assert file.read(5) == b""
    with pytest.raises(ValueError, match="-1"):
        file.seek(-1)
    with pytest.raises(ValueError, match="range"):
        file.pread(-1, 5)
    buffered = io.BufferedReader(file)
    buffered.seek(2 * MIB - 3)
    assert buffered.read(6) == disk_bytes("one_block", 2 * MIB - 3, 6)
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.read(1)


def test_a_file_that_is_missing_or_cut_while_open_says_so(tmp_path: Path) -> None:
    path = tmp_path / "disk.zvhd2"
    with pytest.raises(ReadError), Zvhd2Reader.open(path):
        pass
    path.write_bytes(golden("scattered"))
    with Zvhd2Reader.open(path) as file:
        os.truncate(path, 8192)
        with pytest.raises(ImageChangedError, match="truncated"):
            file.pread(511 * MIB, 10)


def test_a_damaged_record_is_refused_with_its_place() -> None:
    built = build({3: b"data", 5: b"more"}, 8 * BLOCK, block_size=BLOCK)
    for at, new in ((4096, b"X"), (4096 + 12, b"\0\0\1"), (4096 + 16, b"\7"), (8192 - 4, b"X")):
        broken = built.with_bytes(at, new)
        container = look(broken).container_or_raise()
        fault = check_records(container, reading(broken))
        assert fault is not None
        assert fault.offset == 4096
        with pytest.raises(FormatError, match=r"block 3 is damaged.*\(at byte 4096\)"):
            reader(broken).pread(3 * BLOCK, 4)
        assert reader(broken).pread(5 * BLOCK, 4) == b"more"
    broken = built.with_bytes(4096 + 48, b"\0\0\0\0")
    with pytest.raises(FormatError, match=r"block 3: .*\(at byte 4096\)"):
        reader(broken).pread(3 * BLOCK, 4)


def test_a_packed_disk_ends_where_the_image_did(tmp_path: Path) -> None:
    """Any range of it, in blocks that are unpacked once for several pieces; the file is watched."""
    built = build({0: b"one" * 2000, 2: bytes(range(256))}, 4 * MIB + 512, block_size=MIB)
    path = tmp_path / "disk.zvhd2"
    path.write_bytes(built.data)
    with RawImage.open(path) as image:
        container = examine(image.pread, image.size).container_or_raise()
        disk = PackedDisk(image, Zvhd2Reader(container, image.pread), jobs=3)
        # Three threads that unpack need the record, the block and as much again; two are shared.
        assert disk.memory == 3 * 3 * MIB + 2 * MIB
        assert PackedDisk(image, Zvhd2Reader(container, image.pread), jobs=1).memory == 5 * MIB
        assert disk.size == 4 * MIB + 512
        whole = bytearray(disk.size)
        disk.pread_into(0, memoryview(whole))
        assert whole == (b"one" * 2000).ljust(2 * MIB, b"\0") + bytes(range(256)).ljust(
            2 * MIB + 512, b"\0"
        )
        piece = bytearray(5000)
        for at in (0, 3000, MIB - 10, 2 * MIB - 4999, 2 * MIB + 100, 4 * MIB - 4488):
            disk.pread_into(at, memoryview(piece))
            assert piece == whole[at : at + 5000], at
        assert [*disk.extents()] == [
            (0, MIB, True), (MIB, MIB, False), (2 * MIB, MIB, True), (3 * MIB, MIB + 512, False),
        ]  # fmt: skip
        disk.check_unchanged()
        os.truncate(path, 4096)
        with pytest.raises(ImageChangedError):
            disk.check_unchanged()
