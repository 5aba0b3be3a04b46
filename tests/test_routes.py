"""Routes: what each way costs, from a sample of the image's own blocks."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.blockmap import BlockMap
from imsprep.parts import plan_parts
from imsprep.routes import BLOCK_SIZE, RAW, ZVHD2, Sample, compare, take_sample


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


@pytest.mark.parametrize(("block", "low", "high"), [(NOISE, 1.0, 1.0), (TEXT, 0.0, 0.01)])
def test_a_sample_tells_how_data_compresses(block: bytes, low: float, high: float) -> None:
    data, block_map = disk([block, ZEROS, block])
    sample = take_sample(lambda o, n: data[o : o + n], block_map, Clock())
    assert low <= sample.ratio <= high
    assert sample.bytes_per_s == BLOCK_SIZE


def test_an_empty_disk_needs_no_sample() -> None:
    _, block_map = disk([ZEROS, ZEROS])
    assert take_sample(lambda o, n: b"", block_map, Clock()).ratio == 0.0


def test_data_that_compresses_goes_as_zvhd2_on_a_slow_line_and_raw_on_a_fast_one() -> None:
    _, block_map = disk([TEXT] * 4)
    sample = Sample(0.2, 400e6)
    slow = compare(plan_parts(block_map), block_map, sample, bytes_per_s=1e6)
    assert slow.quicker.name == ZVHD2
    fast = compare(plan_parts(block_map), block_map, sample, bytes_per_s=10e9)
    assert fast.quicker.name == RAW
    assert "zvhd2 takes about" in slow.why


def test_noise_goes_raw() -> None:
    _, block_map = disk([NOISE] * 4)
    found = compare(plan_parts(block_map), block_map, Sample(1.0, 400e6))
    assert found.quicker.name == RAW


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.floats(0, 1), st.floats(1e5, 1e10))
def test_figures_are_within_reason(flags: list[bool], ratio: float, bandwidth: float) -> None:
    size = len(flags) * BLOCK_SIZE
    block_map = BlockMap.from_flags(size, BLOCK_SIZE, np.array(flags))
    found = compare(plan_parts(block_map), block_map, Sample(ratio, 1e8), bytes_per_s=bandwidth)
    raw, zvhd2 = found.routes
    assert raw.wire >= block_map.data_bytes
    assert zvhd2.wire <= block_map.data_bytes * 1.01 + len(flags) * 17 + 16384
    assert found.quicker in found.routes
    assert found.as_dict()["quicker"] == found.quicker.name
