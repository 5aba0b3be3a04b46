"""A disk that is unpacked is the same to the byte, takes no room for zeros, and is read back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.errors import ReadError
from imsprep.image.archive import unpack
from imsprep.image.archive.stream import StreamDisk
from imsprep.image.archive.unpack import PIECE, bring, runs_of_data, unpack_disk
from imsprep.image.disk import ByteExtent
from imsprep.units import KIB

PAGE = 4 * KIB
# Pages, and an end at their edge, a byte before and behind.
CONTENTS = st.builds(
    lambda pages, end: b"".join(bytes(PAGE - 1) + bytes([p]) for p in pages) + end,
    st.lists(st.integers(0, 1), max_size=6),
    st.sampled_from([b"", b"\0", b"x", bytes(PAGE - 1), bytes(PAGE - 2) + b"x"]),
)


@given(CONTENTS)
def test_all_that_is_not_zeros_lies_in_a_run_that_is_no_longer_than_its_pages(
    data: bytes,
) -> None:
    runs = runs_of_data(data)
    edges = [edge for run in runs for edge in run]
    assert edges == sorted(set(edges))
    assert all(start % PAGE == 0 and stop <= len(data) for start, stop in runs)
    for at in range(0, len(data), PAGE):
        inside = any(start <= at < stop for start, stop in runs)
        assert inside is any(data[at : at + PAGE])


class Disk:
    """A disk with holes, whose extents end anywhere."""

    path, size = Path("disk"), 2 * PIECE + 5000

    def __init__(self) -> None:
        self.content = bytearray(self.size)
        for start, length in ((0, 1), (PIECE - 1, 2), (2 * PIECE + 4096, 1)):
            self.content[start : start + length] = b"x" * length

    def extents(self) -> Iterator[ByteExtent]:
        for start, stop, is_data in (
            (0, 10_000, True), (10_000, PIECE - 1, False), (PIECE - 1, 2 * PIECE + 4097, True),
            (2 * PIECE + 4097, self.size, False),
        ):  # fmt: skip
            yield start, stop - start, is_data

    def pread_into(self, offset: int, buffer: memoryview) -> None:
        assert len(buffer) <= PIECE
        buffer[:] = self.content[offset : offset + len(buffer)]

    def check_unchanged(self) -> None:
        """It never changes."""


class Stream(Disk, StreamDisk):
    """The same, of which the size is known at its end."""


@pytest.mark.parametrize("kind", [Disk, Stream])
def test_a_disk_is_brought_whole_and_progress_adds_up(tmp_path: Path, kind: type[Disk]) -> None:
    disk, done = kind(), list[int]()
    with (tmp_path / "raw").open("w+b") as file:
        unpack_disk(disk, disk.extents(), file.fileno(), jobs=2, progress=done.append)
    assert (tmp_path / "raw").read_bytes() == disk.content
    assert sum(done) == disk.size


@pytest.mark.parametrize("fault", ["lost", "elsewhere", "cut"])
def test_what_does_not_read_back_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    def faulty(file: int, pieces: list[memoryview], offset: int) -> None:
        (piece,) = pieces
        if fault == "elsewhere":
            os.pwrite(file, piece, offset + 512)
        elif fault == "cut":
            os.pwrite(file, piece[:-1], offset)

    monkeypatch.setattr(unpack, "write_at", faulty)
    path = tmp_path / "raw"
    path.write_bytes(bytes(3 * PAGE))
    with path.open("r+b") as file, pytest.raises(ReadError, match="not read back"):
        bring(file.fileno(), b"x" * PAGE + bytes(PAGE), [(0, PAGE)], PAGE)


def test_a_file_of_another_size_than_the_disk_is_an_error(tmp_path: Path) -> None:
    class Longer(Disk):
        def pread_into(self, offset: int, buffer: memoryview) -> None:
            super().pread_into(offset, buffer)
            os.ftruncate(file.fileno(), self.size + 1)

    disk = Longer()
    with (
        (tmp_path / "raw").open("w+b") as file,
        pytest.raises(ReadError, match="does not have the disk's size"),
    ):
        unpack_disk(disk, disk.extents(), file.fileno(), jobs=1, progress=lambda count: None)
