"""Volumes of a disk: one for each partition, logical volume, and what may lie where none is seen."""

from __future__ import annotations

import io
import struct

import pytest

from imsprep.guest.fs import volumes
from imsprep.guest.fs.ranges import PAST_END
from imsprep.guest.fs.volumes import Found, find_volumes
from imsprep.units import MIB, SECTOR


def ext2(count: int = MIB // 1024) -> bytes:
    """The first sectors of an ext2 of so many blocks of 1 KiB, of what is looked at."""
    block = bytearray(MIB)
    struct.pack_into("<II", block, 1024, 128, count)  # inodes and blocks
    struct.pack_into("<I", block, 1024 + 0x14, 1)  # the first block
    struct.pack_into("<III", block, 1024 + 0x20, 8192, 8192, 128)  # blocks, inodes a group
    struct.pack_into("<HH", block, 1024 + 0x38, 0xEF53, 1)  # clean
    return bytes(block)


def mbr(*parts: tuple[int, int], size: int = 8 * MIB) -> bytearray:
    """A disk with partitions of Linux: start and length in bytes."""
    entries = b"".join(
        struct.pack("<B3sB3sII", 0, bytes(3), 0x83, bytes(3), start // SECTOR, length // SECTOR)
        for start, length in parts
    )
    return bytearray((bytes(446) + entries.ljust(64, b"\0") + b"\x55\xaa").ljust(size, b"\0"))


def found_on(disk: bytes | bytearray, size: int | None = None) -> list[Found]:
    return find_volumes(io.BytesIO(disk), len(disk) if size is None else size)[1]


def test_a_disk_without_a_table_is_one_volume() -> None:
    (found,) = found_on(ext2())
    volume = found.volume
    assert (volume.name, volume.offset, volume.size, volume.kind, volume.clean) == (
        "whole disk", 0, MIB, "ext2", True,
    )  # fmt: skip


def test_each_partition_is_a_volume_whose_file_has_its_bytes_alone() -> None:
    disk = mbr((MIB, MIB), (4 * MIB, 2 * MIB))
    disk[MIB : 2 * MIB] = ext2()
    disk[4 * MIB : 4 * MIB + 5] = b"other"
    one, two = found_on(disk)
    assert [(f.volume.name, f.volume.offset, f.volume.size) for f in (one, two)] == [
        ("partition 1", MIB, MIB),
        ("partition 2", 4 * MIB, 2 * MIB),
    ]
    assert (one.volume.kind, one.volume.part_type) == ("ext2", "0x83")
    assert two.file.read(5) == b"other"
    assert one.file.read() == ext2()


def test_a_partition_past_the_end_of_the_image_says_so() -> None:
    (cut, gone) = found_on(mbr((MIB, 20 * MIB), (30 * MIB, MIB)))
    assert cut.volume.unread is None
    assert gone.volume.unread == PAST_END


def test_of_a_file_that_is_longer_than_its_disk_nothing_more_is_read() -> None:
    disk = mbr((4 * MIB, MIB))
    (found,) = found_on(disk, 4 * MIB)
    assert found.volume.unread == PAST_END


def test_what_its_superblock_claims_is_told_and_that_it_cannot_be_right() -> None:
    (found,) = found_on(ext2(count=2 * MIB // 1024))
    assert (found.volume.claimed, found.volume.fault) == (2 * MIB, None)
    block = bytearray(ext2())
    struct.pack_into("<I", block, 1024 + 0x28, 0)  # inodes a group
    (found,) = found_on(block)
    assert found.volume.fault is not None
    assert found.volume.unread == f"cannot read ext2: {found.volume.fault}"


def test_a_physical_volume_without_its_metadata_has_its_reason() -> None:
    disk = mbr((MIB, 2 * MIB))
    disk[MIB + 512 : MIB + 512 + 32] = b"LABELONE" + bytes(16) + b"LVM2 001"
    (found,) = found_on(disk)
    assert found.volume.kind == "LVM"
    assert found.volume.unread is not None


def test_behind_a_gpt_that_cannot_be_read_any_volume_may_be() -> None:
    disk = mbr()
    disk[446 + 4] = 0xEE
    struct.pack_into("<II", disk, 446 + 8, 1, len(disk) // SECTOR - 1)
    (found,) = found_on(disk)
    assert (found.volume.name, found.volume.kind) == ("whole disk", "unknown")
    assert found.volume.unread == "its partition table cannot be read"


def test_so_many_volumes_are_looked_at_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volumes, "VOLUME_LIMIT", 2)
    disk = mbr((MIB, MIB), (2 * MIB, MIB), (3 * MIB, MIB))
    assert [f.volume.name for f in found_on(disk)] == ["partition 1", "partition 2"]
