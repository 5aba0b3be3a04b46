"""Packing a disk: which blocks are read, what is said of them, and what becomes of a bad disk."""

from __future__ import annotations

import uuid
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imsprep.errors import ImageChangedError, ReadError
from imsprep.image.digest import DigestTree
from imsprep.image.disk import ByteExtent
from imsprep.image.file import RawImage
from imsprep.units import MIB
from imsprep.zvhd2 import records, writer
from imsprep.zvhd2.codec import Packer
from imsprep.zvhd2.reader import Zvhd2Reader
from imsprep.zvhd2.writer import PackTask, WriteTask, Written, block_ranges
from tests.support.image.raw_disk import write_disk

ID = bytes(range(16))
BLOCK = 2 * MIB


def written(raw: Path, packing: PackTask, *, with_digest: bool = False) -> Written:
    """Pack a raw disk into `disk.zvhd2` next to it."""
    with RawImage.open(raw) as image, (raw.parent / "disk.zvhd2").open("w+b") as file:
        task = WriteTask(packing, with_digest=with_digest)
        return writer.write_container(image, image.extents(), file.fileno(), task)


@pytest.mark.parametrize("jobs", [1, 4])
@pytest.mark.parametrize("block_size", [MIB, BLOCK])
def test_the_digest_is_that_of_the_disk_and_is_computed_only_if_asked_for(
    block_size: int, jobs: int, tmp_path: Path
) -> None:
    size = 9 * BLOCK + 70_000  # its last block is short
    pieces = [
        (0, b"a"),
        (3 * BLOCK - 1, b"two blocks"),
        (5 * BLOCK, bytes(BLOCK)),
        (size - 1, b"z"),
    ]
    raw = write_disk(tmp_path / "disk.raw", size, pieces)
    tree = DigestTree(size)
    tree.add(0, raw.read_bytes())
    packing = PackTask(1, ID, jobs=jobs, block_size=block_size)
    assert written(raw, packing, with_digest=True).digest == tree.digest()
    assert written(raw, packing).digest is None


@pytest.mark.parametrize("at", [0, 127, 128, MIB, BLOCK - 1])
def test_a_block_is_data_wherever_its_only_byte_is(at: int, tmp_path: Path) -> None:
    raw = write_disk(tmp_path / "disk.raw", 3 * BLOCK, [(0, bytes(BLOCK)), (BLOCK + at, b"x")])
    flags = written(raw, PackTask(1, ID)).block_map.flags()
    assert flags.tolist() == [False, True, False]


@pytest.mark.parametrize("size", [BLOCK + 1, BLOCK + 7, 2 * BLOCK - 3])
def test_the_last_byte_of_a_disk_of_any_size_is_data(size: int, tmp_path: Path) -> None:
    raw = write_disk(tmp_path / "disk.raw", size, [(size - 1, b"x")])
    assert written(raw, PackTask(1, ID)).block_map.flags().tolist() == [False, True]


@pytest.mark.parametrize("at", [0, 5000, BLOCK - 1])
def test_a_block_that_unpacks_to_another_is_noticed_wherever_it_differs(
    at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = writer.Unpacker.__call__

    def wrong(self: writer.Unpacker, payload: bytes) -> bytes:
        block = bytearray(original(self, payload))
        block[at] ^= 1
        return bytes(block)

    raw = write_disk(tmp_path / "disk.raw", BLOCK, [(0, b"x")])
    monkeypatch.setattr(writer.Unpacker, "__call__", wrong)
    with pytest.raises(ReadError, match="does not read back"):
        written(raw, PackTask(1, ID))


@pytest.mark.parametrize("blocks", [0, 1, 3])
def test_what_is_said_of_the_file_is_what_it_holds(blocks: int, tmp_path: Path) -> None:
    pieces = [(n * 2 * BLOCK, np.random.default_rng(n).bytes(5000)) for n in range(blocks)]
    said = written(write_disk(tmp_path / "disk.raw", 7 * BLOCK, pieces), PackTask(1, ID))
    path = tmp_path / "disk.zvhd2"
    assert said.size == path.stat().st_size
    data = path.read_bytes()
    with Zvhd2Reader.open(path) as reader:
        entries = reader.container.entries
        checksum = reader.container.footer.checksum  # made when it is written
        assert said.footer._replace(checksum=checksum) == reader.container.footer
        assert said.block_map == reader.block_map
    heads = [records.unpack_block_header(data[int(offset) :]) for offset in entries["offset"]]
    assert said.payload == sum(head.size for head in heads)
    assert [head.curr_blk for head in heads] == [0, 2, 4][:blocks]
    assert records.unpack_footer(data).uuid == ID


def test_of_the_same_disk_comes_the_same_id_and_of_a_given_one_none(tmp_path: Path) -> None:
    ids = []
    for content in (b"a", b"a", b"b"):
        raw = write_disk(tmp_path / "disk.raw", BLOCK, [(0, content)])
        ids.append(written(raw, PackTask(1)).footer.uuid)
    assert ids[0] == ids[1] != ids[2]
    assert written(raw, PackTask(1, ID)).footer.uuid == ID


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 500), st.booleans()), max_size=20),
    st.integers(1, 90),
)
def test_block_ranges_cover_all_data_once_in_order(
    lengths: list[tuple[int, bool]], block_size: int
) -> None:
    extents, offset, data = list[ByteExtent](), 0, set[int]()
    for length, is_data in lengths:
        extents.append((offset, length, is_data))
        data |= set(range(offset, offset + length)) if is_data else set()
        offset += length
    blocks, covered = [], list[int]()
    for block, ranges in block_ranges(extents, block_size):
        blocks.append(block)
        for start, length in ranges:
            assert block * block_size <= start < start + length <= (block + 1) * block_size
            covered += range(start, start + length)
    assert blocks == sorted(set(blocks))
    assert covered == sorted(data)


def test_holes_are_never_read_and_zeros_once(tmp_path: Path) -> None:
    raw = write_disk(tmp_path / "d.raw", 40 * MIB, [(5 * MIB, bytes(4 * MIB)), (30 * MIB, b"x")])
    seen = list[tuple[int, int]]()
    with RawImage.open(raw) as image, open(tmp_path / "out", "w+b") as out:
        read = image.pread_into

        def note(offset: int, buffer: memoryview) -> None:
            seen.append((offset, len(buffer)))
            read(offset, buffer)

        image.pread_into = note
        task = WriteTask(PackTask(1, ID, jobs=3))
        written = writer.write_container(image, image.extents(), out.fileno(), task)
    with RawImage.open(raw) as image:
        data = [(offset, length) for offset, length, is_data in image.extents() if is_data]
    assert sum(length for _, length in seen) == sum(length for _, length in data)
    assert len(set(seen)) == len(seen)
    assert written.block_map.allocated == 1


@pytest.mark.parametrize("block_size", records.BLOCK_SIZES)
@pytest.mark.parametrize("level", [1, 19])
def test_memory_is_bounded_whatever_is_asked_for(block_size: int, level: int) -> None:
    packing = PackTask(1, ID, level=level, block_size=block_size, jobs=64)
    jobs, buffers = writer.shares(packing, writer.MEMORY)
    codecs = jobs * Packer.memory(records.ZSTD, level, block_size)
    assert 1 <= jobs <= 64
    assert buffers >= 2
    assert codecs + buffers * 3 * block_size <= 280 * MIB


class Changing:
    """A disk of one block that says at the end that it changed."""

    path, size = Path("disk.raw"), BLOCK

    def pread_into(self, offset: int, buffer: memoryview) -> None:
        buffer[:] = b"x" * len(buffer)

    def check_unchanged(self) -> None:
        raise ImageChangedError("it changed")


def test_a_disk_that_changed_while_it_was_packed_gives_no_container(tmp_path: Path) -> None:
    with (tmp_path / "disk.zvhd2").open("w+b") as file, pytest.raises(ImageChangedError):
        writer.write_container(
            Changing(), [(0, BLOCK, True)], file.fileno(), WriteTask(PackTask(1))
        )


def test_progress_adds_up_to_the_disk_and_a_block_is_proved_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = write_disk(tmp_path / "disk.raw", 9 * BLOCK, [(2 * BLOCK, b"a"), (5 * BLOCK, b"b" * 9)])
    told: list[int] = []
    unpacked: list[int] = []
    original = writer.Unpacker.__call__

    def counting(self: writer.Unpacker, payload: bytes) -> bytes:
        unpacked.append(1)
        return original(self, payload)

    monkeypatch.setattr(writer.Unpacker, "__call__", counting)
    for options, proofs in (({}, 2), ({"verify": True}, 2), ({"verify": False}, 0)):
        told.clear()
        unpacked.clear()
        with RawImage.open(raw) as image, (tmp_path / "disk.zvhd2").open("w+b") as file:
            task = WriteTask(PackTask(1), told.append, **options)
            writer.write_container(image, image.extents(), file.fileno(), task)
        assert sum(told) == 9 * BLOCK
        assert min(told) >= 0
        assert len(unpacked) == proofs
    data = (tmp_path / "disk.zvhd2").read_bytes()
    given = uuid.UUID(bytes=records.unpack_footer(data).uuid)
    assert (given.version, given.variant) == (8, uuid.RFC_4122)  # RFC 9562, 5.8


def test_an_id_of_the_content_is_a_uuid_and_differs_with_it() -> None:
    """RFC 9562: version 8, and the variant's two bits; the other 122 are free."""
    header, entries = records.new_header(4 * MIB), np.zeros(2, records.INDEX_ENTRY)
    entries["block"] = [0, 1]
    ids = []
    for number in range(40):
        crcs = np.array([number, 7], np.uint32)
        ends = writer.ends_of(header, None, entries, crcs, 8192)
        ids.append(uuid.UUID(bytes=ends.footer.uuid))
        assert records.unpack_footer(ends.header).uuid == ends.footer.uuid
    assert {(one.version, one.variant) for one in ids} == {(8, uuid.RFC_4122)}
    free = [0xFF] * 6 + [0x0F, 0xFF, 0x3F] + [0xFF] * 7
    seen = [{one.bytes[at] & mask for one in ids} for at, mask in enumerate(free)]
    assert [int(np.bitwise_or.reduce([*values])) for values in seen] == free
    assert writer.ends_of(header, ID, entries, crcs, 8192).footer.uuid == ID
