"""Looking at ranges in this process."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.image.file import RawImage
from imsprep.scan import probe
from imsprep.scan.probe import LONGEST, PAGE, batched, cut, holds_data
from imsprep.system.mounts import file_system
from imsprep.system.pagecache import advise, read_cached, without_readahead
from imsprep.units import KIB, MIB
from tests.support.system.page_cache import cached_pages, drop


@given(
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 3000)), max_size=5),
    st.integers(1, 2000),
)
def test_pieces_cover_their_ranges_and_cross_no_edge(
    ranges: list[tuple[int, int]], size: int
) -> None:
    given_ranges = [(start, start + length) for start, length in ranges]
    pieces = list(cut(given_ranges, size))
    assert [n for a, b in pieces for n in range(a, b)] == [
        n for a, b in given_ranges for n in range(a, b)
    ]
    assert all(start < stop and start // size == (stop - 1) // size for start, stop in pieces)


@given(st.lists(st.integers()), st.integers(1, 7), st.integers(0, 3))
def test_batches_hold_every_value_once(values: list[int], count: int, first: int) -> None:
    batches = list(batched(values, count, first=first))
    assert [value for batch in batches for value in batch] == values
    assert all(0 < len(batch) <= count for batch in batches)


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("length", [1, 4 * KIB, 5000, LONGEST])
def test_a_range_holds_data_wherever_its_byte_is(tmp_path: Path, length: int, cached: bool) -> None:
    path = tmp_path / "disk.raw"
    for place in (0, 1, length // 2, length - 1):
        content = bytearray(3 * length)
        content[length + place % length] = 1
        path.write_bytes(content)
        with RawImage.open(path) as image:
            if not cached:
                drop(image.fileno())
            ranges = [(0, length), (length, 2 * length), (2 * length, 3 * length)]
            assert holds_data(image, ranges, keep_cache=False) == [False, True, False]


def test_a_range_of_which_only_the_start_is_in_the_page_cache_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def some(file: int, buffer: bytearray, offset: int) -> int:
        buffer[:PAGE] = os.pread(file, PAGE, offset)
        return PAGE

    monkeypatch.setattr(probe, "read_cached", some)
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(2 * PAGE - 1) + b"x" + bytes(2 * PAGE))
    with RawImage.open(path) as image:
        ranges = [(0, 2 * PAGE), (2 * PAGE, 4 * PAGE)]
        assert holds_data(image, ranges, keep_cache=False) == [True, False]


def test_the_page_cache_is_asked_for_each_range_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, asked, real = tmp_path / "disk.raw", list[tuple[int, int]](), probe.read_cached

    def note(file: int, buffer: bytearray, offset: int) -> int:
        asked.append((offset, offset + len(buffer)))
        return real(file, buffer, offset)

    monkeypatch.setattr(probe, "read_cached", note)
    path.write_bytes(bytes(MIB))
    ranges = [(0, 4096), (8192, 8192 + 4096), (20_000, 20_001), (MIB - 4096, MIB)]
    with RawImage.open(path) as image:
        holds_data(image, ranges[:1], keep_cache=True)
        if file_system(image.fileno()) == "tmpfs":
            pytest.skip("a tmpfs does not say what is in the page cache")
        assert not any(holds_data(image, ranges[1:], keep_cache=True))
    assert asked == ranges


@pytest.mark.parametrize("keep_cache", [True, False])
def test_what_was_not_in_the_page_cache_is_dropped_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep_cache: bool
) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(8 * MIB + 100))
    probes = [(at, at + 100) for at in range(0, 8 * MIB + 100, MIB)]
    dropped = list[tuple[int, int]]()

    def note(file: int, start: int, stop: int, advice: str) -> None:
        if advice == "POSIX_FADV_DONTNEED":
            dropped.append((start, stop))
        advise(file, start, stop, advice)

    def as_it_was(file: int, buffer: bytearray, offset: int) -> int:
        # Asking Linux makes it begin to read; on a busy machine that has ended, and what was asked
        # for is there, before the question is answered.
        if offset // PAGE not in before:
            raise BlockingIOError
        return read_cached(file, buffer, offset)

    monkeypatch.setattr(probe, "advise", note)
    monkeypatch.setattr(probe, "read_cached", as_it_was)
    with RawImage.open(path) as image:
        if file_system(image.fileno()) == "tmpfs":
            pytest.skip("a tmpfs is the page cache")
        with without_readahead(image.fileno()):
            drop(image.fileno())
            image.pread(MIB, 4096)
            before = cached_pages(path)
            assert not any(holds_data(image, probes, keep_cache=keep_cache))
    # The system may drop pages at any time, but nobody else reads this file.
    if keep_cache:
        assert dropped == []
    else:
        assert cached_pages(path) <= before
        assert dropped


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL, errno.EIO])
def test_where_the_page_cache_cannot_be_asked_every_range_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """As on a tmpfs: what is not known is not empty."""
    asked = list[int]()

    def refuse(file: int, buffer: bytearray, offset: int) -> int:
        asked.append(offset)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(probe, "read_cached", refuse)
    path = tmp_path / "disk.raw"
    path.write_bytes(b"x" + bytes(2 * PAGE - 1) + b"x" + bytes(PAGE - 1))
    with RawImage.open(path) as image:
        ranges = [(at, at + PAGE) for at in (0, PAGE, 2 * PAGE)]
        assert holds_data(image, ranges, keep_cache=False) == [True, False, True]
    assert asked == [0]
