"""cloop: a table of where blocks begin."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from imsprep.errors import FormatError
from imsprep.image.tables.cloop import survey

BLOCK = 64 << 10


def cloop(block: int = BLOCK, offsets: tuple[int, ...] = (200, 300, 350)) -> bytes:
    head = b"#!/bin/sh".ljust(128, b"\0") + struct.pack(">II", block, len(offsets) - 1)
    data = head + struct.pack(f">{len(offsets)}Q", *offsets)
    return data.ljust(350, b"x")


def reader(data: bytes) -> Callable[[int, int], bytes]:
    return lambda offset, length: data[offset : offset + length]


def test_a_sound_one_is_taken() -> None:
    data = cloop()
    assert survey(reader(data), len(data)).virtual_size == 2 * BLOCK


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (cloop(block=BLOCK + 1), "2 blocks of 65537 bytes"),
        (cloop(block=0), "2 blocks of 0 bytes"),
        (cloop(offsets=(200,)), "0 blocks"),
        (cloop(offsets=(200, 300, 300)), "in no order"),
        (cloop(offsets=(100, 300, 350)), "in no order"),
        (cloop(offsets=(200, 300, 351)), "cut short"),
    ],
)
def test_what_cannot_be_right_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        survey(reader(data), len(data))
