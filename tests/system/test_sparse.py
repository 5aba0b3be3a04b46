"""Sparse files: what is zeros is not stored, and what is read back is the same."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
