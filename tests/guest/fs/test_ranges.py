"""Runs of bytes of a file as files of their own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.guest.fs.interface import UnreadableError
from imsprep.guest.fs.ranges import Joined, Window

CONTENT = bytes(range(256))


def window(offset: int, size: int) -> Window:
    return Window(lambda at, length: CONTENT[at : at + length], offset, size)


@given(st.integers(0, 260), st.integers(0, 260), st.integers(0, 300), st.integers(0, 300))
def test_a_window_reads_what_a_slice_does(start: int, size: int, at: int, length: int) -> None:
    file = window(start, size)
    assert file.pread(at, length) == CONTENT[start : start + size][at : at + length]
    assert file.size == file.get_size() == size


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 50)), max_size=6), st.data())
def test_windows_in_a_row_read_as_one(places: list[tuple[int, int]], data: st.DataObject) -> None:
    whole = b"".join(CONTENT[start : start + size] for start, size in places)
    joined = Joined([window(start, size) for start, size in places])
    assert joined.size == len(whole)
    at = data.draw(st.integers(0, len(whole) + 1))
    length = data.draw(st.integers(0, len(whole) + 1))
    assert joined.pread(at, length) == whole[at : at + length]


def test_what_is_missing_ends_the_looking() -> None:
    joined = Joined([window(250, 10), window(0, 10)])  # the first has six bytes
    assert joined.pread(0, 20) == CONTENT[250:]
    assert joined.pread(10, 10) == CONTENT[:10]


@given(st.integers(0, 260), st.integers(0, 260), st.integers(0, 300), st.integers(0, 300))
def test_a_file_never_ends_before_the_size_that_it_claims(
    start: int, size: int, at: int, length: int
) -> None:
    whole = CONTENT[start : start + size]
    for file in (window(start, size), Joined([window(start, size // 2), window(start + size // 2, size - size // 2)])):  # fmt: skip
        file.seek(at)
        if len(whole) < min(at + length, size) and at < size and length:
            with pytest.raises(UnreadableError, match="past the end of the image"):
                file.read(length)
        else:
            assert file.read(length) == whole[at : at + length]
