"""The scan of a disk that is no file finds what the scan of the file finds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.image.disk import ByteExtent
from imsprep.image.file import RawImage
from imsprep.options import ScanOptions
from imsprep.scan.other_formats import scan_disk
from imsprep.scan.scan import scan
from imsprep.units import KIB

BLOCK = 8 * KIB


@pytest.mark.slow
@given(st.lists(st.sampled_from([0, 1]), min_size=1, max_size=40), st.integers(0, 3))
def test_it_finds_what_a_scan_finds(
    tmp_path_factory: pytest.TempPathFactory, pages: list[int], rest: int
) -> None:
    path: Path = tmp_path_factory.mktemp("d") / "d.raw"
    path.write_bytes(b"".join(bytes([p]) * 4096 for p in pages) + bytes(rest) + b"x")
    done: list[int] = []
    with RawImage.open(path) as image:
        found = scan_disk(image, block_size=BLOCK, progress=done.append)
        assert found.block_map == scan(image, ScanOptions(block_size=BLOCK)).block_map
    assert sum(done) == found.block_map.size == sum(found.coverage)


class Pieces:
    """A disk whose format says of one piece after another whether it is data."""

    path = Path("disk.qcow2")

    def __init__(self, pieces: list[tuple[int, int]]) -> None:
        """`pieces` have their length and what they are: 0 no data, 1 zeros as data, 2 data."""
        self._pieces = pieces
        ends = {1: bytes, 2: lambda length: bytes(length - 1) + b"x", 0: bytes}
        self.content = b"".join(ends[kind](length) for length, kind in pieces)
        self.size = len(self.content)
        self.read: list[int] = []

    def extents(self) -> Iterator[ByteExtent]:
        at = 0
        for length, kind in self._pieces:
            yield at, length, kind > 0
            at += length

    def pread_into(self, offset: int, buffer: memoryview) -> None:
        self.read.append(len(buffer))
        buffer[:] = self.content[offset : offset + len(buffer)]

    def check_unchanged(self) -> None:
        """It never changes."""


# Lengths that end at the edges of blocks, and a byte before and behind.
LENGTHS = st.builds(lambda blocks, off: max(1, blocks * BLOCK // 2 + off),
                    st.integers(0, 5), st.integers(-1, 1))  # fmt: skip


@given(st.lists(st.tuples(LENGTHS, st.integers(0, 2)), min_size=1, max_size=6))
def test_a_block_holds_data_if_any_of_its_pieces_does(pieces: list[tuple[int, int]]) -> None:
    disk, done = Pieces(pieces), list[int]()
    found = scan_disk(disk, block_size=BLOCK, progress=done.append)
    assert found.block_map.flags().tolist() == [
        any(disk.content[at : at + BLOCK]) for at in range(0, disk.size, BLOCK)
    ]
    read = sum(length for length, kind in pieces if kind)
    assert sum(disk.read) == read
    assert found.coverage == (disk.size - read, 0, read)
    assert sum(done) == disk.size
