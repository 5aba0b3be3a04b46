"""Parallels: header and block allocation table."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from imsprep.errors import FormatError
from imsprep.image.tables.parallels import survey

OLD, NEW = b"WithoutFreeSpace", b"WithouFreSpacExt"
TRACKS, CLOSED, IN_USE = 8, 0x312E3276, 0x746F6E59
BLOCK = TRACKS * 512


def parallels(
    bat: tuple[int, ...] = (1, 0, 2), *, magic: bytes = NEW, version: int = 2, sectors: int = 20,
    in_use: int = CLOSED, data: int = TRACKS, count: int | None = None,
) -> bytes:  # fmt: skip
    blocks = len(bat) if count is None else count
    head = struct.pack("<16sIIIIIQIIIQ", magic, version, 16, 3, TRACKS, blocks, sectors, in_use, data,
                       0, 0)  # fmt: skip
    text = head + struct.pack(f"<{len(bat)}I", *bat)
    return text.ljust(3 * BLOCK, b"\0")


def reader(data: bytes) -> Callable[[int, int], bytes]:
    return lambda offset, length: data[offset : offset + length]


@pytest.mark.parametrize(
    "data", [parallels(), parallels((8, 0, 16), magic=OLD, data=8), parallels((0, 0, 0))]
)
def test_a_sound_one_is_taken(data: bytes) -> None:
    found = survey(reader(data), len(data))
    assert found.virtual_size == 20 * 512


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (parallels(version=3), "version 3"),
        (parallels(in_use=IN_USE), "was not closed"),
        (parallels(count=2), "2 blocks of 8 sectors for a disk of 20"),
        (parallels((1, 1, 2)), "lie over each other"),
        (parallels((8, 0, 4), magic=OLD, data=8), "in front of its data"),
        (parallels((1, 0, 9)), "cut short"),
    ],
)
def test_what_cannot_be_right_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        survey(reader(data), len(data))
