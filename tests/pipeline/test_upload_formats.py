"""Routes: what each way costs, from a sample of the image's own blocks."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.image.blockmap import BlockMap
from imsprep.image.disk import ByteExtent
from imsprep.pipeline.upload_formats import (
    LOCAL_BYTES_PER_S,
    LOCAL_START_S,
    RAW,
    ZVHD2,
    Clocks,
    Comparison,
    Conditions,
    Sample,
    compare,
    estimated_size,
    map_by_extents,
    sample_of,
    take_sample,
)
from imsprep.units import MIB
from imsprep.upload.plan import plan_parts
from imsprep.zvhd2.codec import Packer
from imsprep.zvhd2.records import BITMAP_SEGMENT, BLOCK_SIZE, INDEX_SEGMENT, ZSTD
from imsprep.zvhd2.writer import PackTask
from tests.support.zvhd2.files import of_disk


class Clock:
    """Each look costs a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def disk(blocks: list[bytes]) -> tuple[bytes, BlockMap]:
    flags = np.array([any(b) for b in blocks])
    data = b"".join(blocks)
    return data, BlockMap.from_flags(len(data), BLOCK_SIZE, flags)


NOISE = random.Random(1).randbytes(BLOCK_SIZE)
TEXT = b"to be compressed " * (BLOCK_SIZE // 17 + 1)
TEXT = TEXT[:BLOCK_SIZE]
ZEROS = bytes(BLOCK_SIZE)
PACK = Packer(ZSTD, 3)


@pytest.mark.parametrize(("block", "low", "high"), [(NOISE, 1.0, 1.001), (TEXT, 0.0, 0.01)])
def test_a_sample_tells_how_data_compresses(block: bytes, low: float, high: float) -> None:
    data, block_map = disk([block, ZEROS, block])
    sample = take_sample(lambda o, n: data[o : o + n], block_map, PACK, Clocks(Clock()))
    assert low <= sample.ratio <= high
    assert sample.blocks == 2
    assert sample.bytes_per_s == BLOCK_SIZE


def test_an_empty_disk_needs_no_sample() -> None:
    _, block_map = disk([ZEROS, ZEROS])
    assert take_sample(lambda o, n: b"", block_map, PACK, Clocks(Clock())).ratio == 0.0


def test_a_sample_is_taken_out_of_the_middle_of_equal_shares() -> None:
    block_map = BlockMap.from_flags(10 * BLOCK_SIZE, BLOCK_SIZE, np.ones(10, np.bool_))
    asked = []

    def pread(offset: int, length: int) -> bytes:
        asked.append(offset // BLOCK_SIZE)
        return bytes(length)

    take_sample(pread, block_map, PACK, Clocks(Clock()), 1)
    take_sample(pread, block_map, PACK, Clocks(Clock()), 5)
    assert asked == [5, 1, 3, 5, 7, 9]


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.floats(0, 1), st.floats(1e5, 1e10))
def test_figures_are_within_reason(flags: list[bool], ratio: float, bandwidth: float) -> None:
    size = len(flags) * BLOCK_SIZE
    block_map = BlockMap.from_flags(size, BLOCK_SIZE, np.array(flags))
    sample, plan = Sample(ratio, 1e8, 9), plan_parts(block_map)
    found = compare(plan, block_map, sample, Conditions(bytes_per_s=bandwidth), ZVHD2)
    raw, zvhd2 = found.formats
    assert raw.wire >= block_map.data_bytes
    assert zvhd2.wire <= block_map.data_bytes * 1.01 + 3 * 4096 + INDEX_SEGMENT + BITMAP_SEGMENT
    assert found.chosen in found.formats
    assert found.as_dict()["chosen"] == found.chosen.name


def test_a_route_that_cannot_be_taken_is_not_priced() -> None:
    _, block_map = disk([TEXT] * 4)
    found = compare(None, block_map, Sample(0.2, 400e6, 4), Conditions(), ZVHD2)
    assert [one.name for one in found.formats] == [ZVHD2]
    assert "raw" not in found.why
    assert "estimate from 4 blocks" in found.why


def test_what_overlaps_is_counted_once_and_the_wait_where_it_is_known() -> None:
    _, block_map = disk([TEXT] * 4)
    sample, data = Sample(0.5, 1e6, 4), len(TEXT) * 4

    def go(**more: bool) -> float:
        on = Conditions(bytes_per_s=1e6, scan_s=7, **more)
        found = compare(None, block_map, sample, on, ZVHD2)
        return found.chosen.seconds

    size = estimated_size(block_map, sample) / 1e6
    assert go() == pytest.approx(7 + data / 1e6)
    assert go(streamed=False) == pytest.approx(7 + data / 1e6 + size)
    waited = LOCAL_START_S + data / LOCAL_BYTES_PER_S
    stored = size * 1e6 / LOCAL_BYTES_PER_S
    assert go(local=True) == pytest.approx(7 + data / 1e6 + stored + waited)


def test_a_local_service_is_as_slow_as_the_processor_that_others_use_too() -> None:
    data, block_map = disk([NOISE, TEXT])
    used = itertools.count()  # a processor's second is two by the clock
    sample = take_sample(
        lambda o, n: data[o : o + n], block_map, PACK,
        Clocks(lambda: float(next(used)), lambda: float(next(used)) / 2),
    )  # fmt: skip
    assert sample.slowed == 2.0

    def go(slowed: float, *, local: bool) -> float:
        on = Conditions(bytes_per_s=1e6, local=local)
        return compare(None, block_map, Sample(0.5, 1e6, 4, slowed), on, ZVHD2).chosen.seconds

    assert go(2, local=False) == go(1, local=False)
    packed = block_map.data_bytes / 1e6
    assert go(2, local=True) - packed == pytest.approx(2 * (go(1, local=True) - packed))


def test_without_a_bandwidth_the_line_has_100_mbit_a_second() -> None:
    _, block_map = disk([NOISE] * 5)
    plan = plan_parts(block_map)
    raw = compare(plan, block_map, Sample(1.0, 1e9, 5), Conditions(), RAW).chosen
    assert raw.seconds == pytest.approx(raw.wire * 8 / 100e6)


def test_more_threads_pack_in_less_time() -> None:
    _, block_map = disk([TEXT] * 4)
    one, two = (
        compare(None, block_map, Sample(0.5, 1e6, 4), Conditions(jobs=n), ZVHD2).chosen
        for n in (1, 2)
    )
    assert one.wire == two.wire
    assert one.pack_s - two.pack_s == pytest.approx(len(TEXT) * 4 / 1e6 / 2)


@pytest.mark.parametrize("blocks", [[NOISE, ZEROS, NOISE], [TEXT, TEXT], [ZEROS]])
def test_where_all_blocks_pack_alike_the_estimate_is_right(blocks: list[bytes]) -> None:
    data, block_map = disk(blocks)
    sample = take_sample(lambda o, n: data[o : o + n], block_map, PACK, Clocks(Clock()))
    made = len(of_disk(data))  # at another level, which changes a record by a page at most
    assert abs(estimated_size(block_map, sample) - made) <= 4096 * len(blocks)


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
    disk, task = InMemory(), PackTask(0, **packing)
    block_map = map_by_extents(disk, MIB).coarsened(task.block_size)
    sample = sample_of(disk, block_map, task, most, itertools.count().__next__)
    on = Conditions(bytes_per_s=1e6, jobs=task.jobs)
    return compare(None, block_map, sample, on, ZVHD2)


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
