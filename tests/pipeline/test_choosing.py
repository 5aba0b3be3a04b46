"""Choosing: what is taken of a disk and of the machine for the comparison of its routes."""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from imsprep.image.disk import ByteExtent
from imsprep.pipeline.choosing import compare_routes, map_by_extents
from imsprep.pipeline.formats import AUTO, ZVHD2, Comparison
from imsprep.units import MIB
from imsprep.upload.plan import plan_parts
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


def compared(place: Path, **packing: int) -> Comparison:
    disk = InMemory()
    block_map = map_by_extents(disk, MIB)
    return compare_routes(
        disk, block_map, plan_parts(block_map), Packing(0, **packing), place=place,
        bytes_per_s=1e6, clock=itertools.count().__next__, asked=AUTO,
    )  # fmt: skip


def test_the_blocks_of_what_is_stored_are_data_the_short_last_one_too() -> None:
    found = map_by_extents(InMemory(), MIB)
    assert found.flags().nonzero()[0].tolist() == [0, 1, 10]
    assert (found.size, found.data_bytes) == (SIZE, 2 * MIB + 512)


def test_the_sample_is_of_the_container_s_blocks() -> None:
    found = compared(Path("disk.zvhd2"))
    assert (found.block_map.block_size, len(found.block_map)) == (2 * MIB, 6)
    assert found.sample.blocks == 2
    assert 1 <= found.sample.ratio < 1.01


def test_the_room_is_what_is_free_where_the_container_will_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def usage(path: Path) -> SimpleNamespace:
        asked.append(path)
        return SimpleNamespace(total=10**12, used=10**12 - 1000, free=1000)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    obstacle = compared(tmp_path / "disk.zvhd2").route(ZVHD2).obstacle
    assert obstacle == "there are 1000 bytes of room"
    assert asked == [tmp_path]


def test_where_the_room_is_not_known_it_is_no_obstacle(tmp_path: Path) -> None:
    assert compared(tmp_path / "no folder" / "disk.zvhd2").route(ZVHD2).obstacle is None


def test_the_threads_that_will_pack_are_counted() -> None:
    place = Path("disk.zvhd2")
    one, four = (compared(place, jobs=n).route(ZVHD2) for n in (1, 4))
    packing = one.seconds - one.wire / 1e6
    assert packing > 0
    assert four.seconds == pytest.approx(one.wire / 1e6 + packing / 4)
