"""Choosing: what is taken of a disk and of the machine for the comparison of its formats."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from imsprep.image.disk import ByteExtent
from imsprep.pipeline.choosing import compare_formats, map_by_extents
from imsprep.pipeline.formats import ZVHD2, Comparison
from imsprep.units import MIB
from imsprep.zvhd2.writer import Packing

SIZE = 10 * MIB + 512


class InMemory:
    """A disk with noise in its first block and in the short last one."""

    path, size = Path("disk.raw"), SIZE

    def __init__(self) -> None:
        noise = random.Random(1).randbytes(2 * MIB)
        self.data = noise + bytes(8 * MIB) + noise[:512]

    def extents(self) -> Iterator[ByteExtent]:
        yield from ((0, 2 * MIB, True), (2 * MIB, 8 * MIB, False), (10 * MIB, 512, True))

    def pread_into(self, offset: int, buffer: memoryview) -> None:
        assert offset + len(buffer) <= self.size
        buffer[:] = self.data[offset : offset + len(buffer)]

    def check_unchanged(self) -> None:
        return


def compared(most: int = 48, **packing: int) -> Comparison:
    disk = InMemory()
    return compare_formats(
        disk, map_by_extents(disk, MIB), Packing(0, **packing), plan=None, most=most,
        clock=itertools.count().__next__, taken=ZVHD2, bytes_per_s=1e6,
    )  # fmt: skip


def test_the_blocks_of_what_is_stored_are_data_the_short_last_one_too() -> None:
    found = map_by_extents(InMemory(), MIB)
    assert found.flags().nonzero()[0].tolist() == [0, 1, 10]
    assert (found.size, found.data_bytes) == (SIZE, 2 * MIB + 512)


def test_the_sample_is_of_the_container_s_blocks() -> None:
    found = compared()
    assert (found.block_map.block_size, len(found.block_map)) == (2 * MIB, 6)
    assert found.sample.blocks == 2
    assert 1 <= found.sample.ratio < 1.01


def test_no_more_blocks_are_read_than_was_asked_for() -> None:
    assert compared(most=1).sample.blocks == 1


def test_the_threads_that_will_pack_are_counted() -> None:
    one, four = (compared(jobs=n).chosen.pack_s for n in (1, 4))
    assert one > 0
    assert four == pytest.approx(one / 4)
