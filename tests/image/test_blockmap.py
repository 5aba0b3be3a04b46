from __future__ import annotations

import numpy as np
import pytest
from bitarray import bitarray
from hypothesis import given
from hypothesis import strategies as st

from imsprep.image.blockmap import BlockMap, Extent
from imsprep.units import ceil_div


@st.composite
def block_maps(draw: st.DrawFn) -> BlockMap:
    flags = draw(st.lists(st.booleans(), max_size=200))
    block_size = draw(st.sampled_from([1, 512, 4096, 2 << 20]))
    short = draw(st.integers(0, block_size - 1)) if flags else 0
    return BlockMap.from_flags(
        len(flags) * block_size - short, block_size, np.array(flags, dtype=bool)
    )


def test_extents_of_a_known_map() -> None:
    made = BlockMap(7 * 512 - 100, 512, bitarray("1100010", endian="little"))
    assert list(made.extents()) == [
        Extent(0, 2, True), Extent(2, 3, False), Extent(5, 1, True), Extent(6, 1, False),
    ]  # fmt: skip
    assert made.allocated == 3
    assert made.data_bytes == 3 * 512
    assert made.byte_range(5, 2) == (5 * 512, 2 * 512 - 100)


def test_a_short_last_block_counts_as_it_is() -> None:
    assert BlockMap(513, 512, bitarray("11", endian="little")).data_bytes == 513


@given(block_maps())
def test_extents_cover_every_block_once_and_alternate(made: BlockMap) -> None:
    seen: list[bool] = []
    last = None
    for extent in made.extents():
        assert extent.start == len(seen)
        assert extent.count > 0
        assert extent.allocated is not last
        seen += [extent.allocated] * extent.count
        last = extent.allocated
    assert seen == [made[n] for n in range(len(made))]


@given(block_maps())
def test_flags_and_back_is_the_same_map(made: BlockMap) -> None:
    assert BlockMap.from_flags(made.size, made.block_size, made.flags()) == made
    assert hash(BlockMap.from_flags(made.size, made.block_size, made.flags())) == hash(made)


@given(block_maps(), st.integers(1, 9))
def test_a_coarser_map_has_data_where_any_of_its_blocks_has(made: BlockMap, ratio: int) -> None:
    coarse = made.coarsened(made.block_size * ratio)
    assert len(coarse) == ceil_div(len(made), ratio)
    for n in range(len(coarse)):
        assert coarse[n] == any(made[b] for b in range(n * ratio, min((n + 1) * ratio, len(made))))


@pytest.mark.parametrize(("size", "bits"), [(512, ""), (513, "1"), (0, "1")])
def test_a_map_of_the_wrong_length_is_refused(size: int, bits: str) -> None:
    with pytest.raises(ValueError, match="blocks of 512"):
        BlockMap(size, 512, bitarray(bits, endian="little"))


@pytest.mark.parametrize("ratio", [1, 2, 3, 4, 7, 16])
@pytest.mark.parametrize("blocks", [1, 16, 17, 31, 32, 33])
def test_a_coarser_map_counted_by_hand(blocks: int, ratio: int) -> None:
    for first in range(blocks):
        for last in {first, min(first + 1, blocks - 1), min(first + ratio, blocks - 1)}:
            bits = bitarray(blocks)
            bits.setall(0)
            bits[first : last + 1] = 1
            coarse = BlockMap(blocks * 4096 - 1, 4096, bits).coarsened(4096 * ratio)
            wanted = [any(bits[n : n + ratio]) for n in range(0, blocks, ratio)]
            assert [coarse[n] for n in range(len(coarse))] == wanted


def test_a_range_of_blocks_is_one_block_long_if_no_other_count_is_given() -> None:
    made = BlockMap(10_000, 4096, bitarray("101"))
    assert made.byte_range(0) == (0, 4096)
    assert made.byte_range(1) == (4096, 4096)
    assert made.byte_range(2) == (8192, 10_000 - 8192)
    assert made.byte_range(0, 3) == (0, 10_000)
    assert len(BlockMap(0, 4096, bitarray())) == 0


def test_a_map_without_blocks_or_of_a_negative_size_is_told_apart() -> None:
    for size, block_size in ((-1, 4096), (4096, 0), (4096, -1)):
        with pytest.raises(ValueError, match="no such block map"):
            BlockMap(size, block_size, bitarray())
    assert BlockMap(0, 4096, bitarray()).data_bytes == 0
    made = BlockMap(8192, 4096, bitarray("10"))
    for size in (4095, 6144, 512):
        with pytest.raises(ValueError, match="not a multiple of the block size 4096"):
            made.coarsened(size)
