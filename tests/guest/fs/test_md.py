"""Superblocks of Linux RAID: how many disks an array needs."""

from __future__ import annotations

import io
import struct

import pytest

from imsprep.guest.fs.md import Array, read_array
from imsprep.guest.fs.volumes import find_volumes
from imsprep.guest.linux.locate import whole
from imsprep.guest.model import Guest
from tests.support.guest.rules import check_guest

MIB = 1 << 20
NAME = bytes(range(16))


def new(level: int, disks: int, layout: int = 0) -> bytes:
    """A superblock of version 1, of what matters here, as md_p.h lays it out."""
    head = struct.pack("<II8x16s40xii12xI", 0xA92B4EFC, 1, NAME, level, layout, disks)
    return head.ljust(256, b"\0")


def old(level: int, disks: int) -> bytes:
    words = [0xA92B4EFC, 0, 90, 0, 0, 1, 0, level & 0xFFFFFFFF, 0, disks, disks, 0, 0, 2, 3, 4]
    return struct.pack("<16I", *words).ljust(4096, b"\0")


def member(size: int, at: int, block: bytes) -> bytes:
    data = bytearray(size)
    data[at : at + len(block)] = block
    return bytes(data)


@pytest.mark.parametrize(("at", "block", "array"), [
    (0, new(1, 2), Array(NAME, 1, 2)),
    (4096, new(0, 2), Array(NAME, 0, 2)),
    (2 * MIB - 8192, new(-1, 3), Array(NAME, -1, 3)),
    (2 * MIB - 65536, old(5, 3), Array(struct.pack("<4I", 1, 2, 3, 4), 5, 3)),
    (8192, new(1, 2), None),
])  # fmt: skip
def test_an_array_is_read_from_any_version(at: int, block: bytes, array: Array | None) -> None:
    data = member(2 * MIB, at, block)
    assert read_array(lambda offset, length: data[offset : offset + length], len(data)) == array


@pytest.mark.parametrize(("level", "disks", "layout", "needed"), [
    (0, 3, 0, 3), (-1, 2, 0, 2), (1, 4, 0, 1), (4, 3, 0, 2), (5, 4, 0, 3), (6, 6, 0, 4),
    (10, 4, 0x102, 2), (10, 4, 0x103, 2), (10, 3, 0x102, 2), (10, 4, 0, 1),
])  # fmt: skip
def test_an_array_needs_some_of_its_disks(level: int, disks: int, layout: int, needed: int) -> None:
    assert Array(NAME, level, disks, layout).needed == needed


@pytest.mark.parametrize(
    ("level", "disks", "says"),
    [(0, 2, "RAID 0 of 2 disks, of which the image holds 1"), (1, 2, None)],
)
def test_a_member_without_the_others_is_named(level: int, disks: int, says: str | None) -> None:
    data = member(4 * MIB, 4096, new(level, disks))
    disk, found = find_volumes(io.BytesIO(data), len(data))
    (volume,) = (one.volume for one in found)
    assert volume.kind == "Linux RAID"
    guest = Guest(table=disk.table, volumes=(volume,))
    assert whole(volume, guest) == (
        says and f"whole disk belongs to a {says}: another disk is missing"
    )
    findings, _ = check_guest(guest)
    assert ("IMS819" in {f.rule for f in findings}) is (says is not None)
