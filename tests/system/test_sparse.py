"""Sparse files: what is zeros is not stored, and what is read back is the same, everywhere."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.system import sparse
from imsprep.system.positioned import write_at
from imsprep.system.sparse import copy_data, data_ranges, extents, write_sparse
from imsprep.units import KIB, MIB

PIECES = st.lists(
    st.tuples(st.sampled_from([0, 1]), st.sampled_from([1, 511, 4096, 64 * KIB, 64 * KIB + 1])),
    max_size=8,
)


@given(PIECES)
def test_bytes_are_read_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[tuple[int, int]]
) -> None:
    data = b"".join(bytes([value]) * length for value, length in pieces)
    path = tmp_path_factory.mktemp("sparse") / "file"
    with path.open("w+b") as file:
        end = write_sparse(file.fileno(), data)
        assert write_sparse(file.fileno(), data, end) == 2 * len(data)
    assert path.read_bytes() == data * 2


def test_zeros_are_not_stored(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("w+b") as file:
        write_sparse(file.fileno(), bytes(8 * MIB) + b"x" + bytes(8 * MIB))
    assert path.stat().st_size == 16 * MIB + 1
    assert path.stat().st_blocks * 512 <= MIB


def test_a_range_is_copied_with_its_holes(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    with source.open("w+b") as one, target.open("w+b") as other:
        one.truncate(4 * MIB)
        os.pwrite(one.fileno(), b"data", 2 * MIB)
        other.truncate(8 * MIB)
        copy_data(one.fileno(), MIB, other.fileno(), 5 * MIB, 2 * MIB)
        found = list(data_ranges(other.fileno(), 0, 8 * MIB))
    assert target.read_bytes()[6 * MIB : 6 * MIB + 4] == b"data"
    assert target.read_bytes().count(0) == 8 * MIB - 4
    assert sum(stop - start for start, stop in found) <= MIB


def test_a_source_that_is_cut_while_it_is_copied_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "lseek", lambda file, at, how: at if how == os.SEEK_DATA else at + MIB)
    with (
        (tmp_path / "a").open("w+b") as one,
        (tmp_path / "b").open("w+b") as other,
        pytest.raises(OSError, match="truncated"),
    ):
        copy_data(one.fileno(), 0, other.fileno(), 0, MIB)


@given(st.lists(st.integers(0, 100), max_size=8, unique=True), st.integers(100, 120))
def test_extents_alternate_and_cover_the_whole(cuts: list[int], size: int) -> None:
    places = sorted(cuts)
    data = list(zip(places[::2], places[1::2], strict=False))
    found = list(extents(data, size))
    assert [offset for offset, _, _ in found] == [
        sum(length for _, length, _ in found[:n]) for n in range(len(found))
    ]
    assert sum(length for _, length, _ in found) == size
    assert [(o, o + n) for o, n, is_data in found if is_data] == data


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


def at_bytes(file: int, *places: int, size: int) -> None:
    os.ftruncate(file, size)
    for place in places:
        write_at(file, [b"x"], place)


def test_the_ranges_of_data_lie_within_what_was_asked_for(file: int) -> None:
    at_bytes(file, 0, MIB, 2 * MIB + 5, size=2 * MIB + 6)
    for offset, end in ((0, 2 * MIB + 6), (1, MIB + 1), (MIB, MIB + 1), (MIB + 1, 2 * MIB + 5)):
        found = list(data_ranges(file, offset, end - offset))
        assert all(offset <= start < stop <= end for start, stop in found)
        data = {place for place in (0, MIB, 2 * MIB + 5) if offset <= place < end}
        assert data <= {place for start, stop in found for place in range(start, stop)}


@pytest.mark.parametrize("error", [errno.EINVAL, errno.ENOTSUP, None])
def test_where_holes_are_not_to_be_asked_for_all_is_data(
    file: int, monkeypatch: pytest.MonkeyPatch, error: int | None
) -> None:
    def refuse(*arguments: object) -> int:
        if error is None:
            raise AttributeError("SEEK_DATA")  # as on a platform without it
        raise OSError(error, os.strerror(error))

    at_bytes(file, 100, size=MIB)
    monkeypatch.setattr(os, "lseek", refuse)
    assert list(data_ranges(file, 5, 1000)) == [(5, 1005)]


@pytest.mark.parametrize("way", ["whole", "short", "none"])
def test_a_range_is_copied_to_its_byte_however_little_is_copied_at_once(
    tmp_path: Path, file: int, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    real: Callable[..., int] = os.copy_file_range

    def copy(source: int, target: int, length: int, offset: int, position: int) -> int:
        if way == "none":
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return real(
            source, target, min(length, 1000) if way == "short" else length, offset, position
        )

    monkeypatch.setattr(os, "copy_file_range", copy)
    monkeypatch.setattr(sparse, "STEP", 700)
    content = os.urandom(5000) + bytes(MIB) + os.urandom(5001)
    write_sparse(file, content)
    target = tmp_path / "target"
    with target.open("w+b") as copied:
        copied.truncate(len(content) + 10 - 2)
        copy_data(file, 1, copied.fileno(), 10, len(content) - 2)
        copy_data(file, 3, copied.fileno(), 0, 1)
    assert target.read_bytes() == content[3:4] + bytes(9) + content[1:-1]
