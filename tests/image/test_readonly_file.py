"""Files over ranges behave as a file in memory does."""

from __future__ import annotations

import io

import pytest

from imsprep.image.readonly_file import ReadOnlyFile

DATA = bytes(range(100))


class Ranges(ReadOnlyFile):
    """Nine bytes at most are read at once."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    @property
    def size(self) -> int:
        return len(self.data)

    def read_range(self, offset: int, view: memoryview) -> int:
        assert 0 < len(view) <= self.size - offset
        piece = self.data[offset : offset + min(9, len(view))]
        view[: len(piece)] = piece
        return len(piece)


PLACES = [(0, 0), (5, 0), (99, 0), (100, 0), (150, 0), (-3, 1), (7, 1), (-100, 2), (-1, 2), (4, 2)]


@pytest.mark.parametrize("buffered", [False, True])
def test_it_reads_as_a_file_in_memory_does(buffered: bool) -> None:
    ours = io.BufferedReader(Ranges(DATA)) if buffered else Ranges(DATA)
    theirs = io.BytesIO(DATA)
    ours.seek(50), theirs.seek(50)
    for offset, whence in PLACES:
        assert ours.seek(offset, whence) == theirs.seek(offset, whence)
        got = ours.read(9)
        assert got == theirs.read(9), (offset, whence)
        assert ours.tell() == theirs.tell()
    assert (ours.seek(0), ours.read()) == (0, DATA)
    assert ours.read(1) == b""


def test_before_the_start_and_after_closing_nothing_is_read() -> None:
    file = Ranges(DATA)
    file.seek(10)
    with pytest.raises(ValueError, match="negative seek value -1"):
        file.seek(-11, io.SEEK_CUR)
    assert file.tell() == 10
    assert (file.readable(), file.seekable(), file.writable()) == (True, True, False)
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.read(1)
