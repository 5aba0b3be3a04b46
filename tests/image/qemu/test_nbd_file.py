"""A disk as a file: it reads as the bytes that it is made of."""

from __future__ import annotations

import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.image.qemu.nbd_client import NbdError
from imsprep.image.qemu.nbd_file import DiskFile

CONTENT = bytes(range(256)) * 5


class Served:
    """What stands for a connection."""

    size = len(CONTENT)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        if offset >= 1270:
            raise NbdError("gone")
        buffer[:] = CONTENT[offset : offset + len(buffer)]


def opened() -> DiskFile:
    return DiskFile(Served())  # type: ignore[arg-type]  # as much of a disk as it reads


@given(st.lists(st.tuples(st.integers(0, 1260), st.integers(0, 9)), max_size=9))
def test_it_reads_as_its_bytes(steps: list[tuple[int, int]]) -> None:
    file, same = io.BufferedReader(opened(), 16), io.BytesIO(CONTENT[:1270])
    for offset, length in steps:
        assert file.seek(offset) == same.seek(offset)
        assert file.read(length) == same.read(length)
        assert file.tell() == same.tell()


def test_places_are_counted_from_either_end_and_none_is_before_the_start() -> None:
    file = opened()
    assert file.seek(-10, os.SEEK_END) == 1270
    assert file.seek(5, os.SEEK_CUR) == 1275
    with pytest.raises(ValueError, match="negative"):
        file.seek(-1)
    file.seek(5000)
    assert file.read(1) == b""


def test_a_read_that_fails_is_an_error_of_the_file() -> None:
    file = opened()
    file.seek(1271)
    with pytest.raises(OSError, match="byte 1271: gone"):
        file.read(1)
