"""The ordinary bitmap: one bit for each block, both ways."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from bitarray import bitarray
from hypothesis import given
from hypothesis import strategies as st

from imsprep.bitmap.bits import bitmap_path, pack_bits, unpack_bits
from imsprep.bitmap.layout import Bits
from imsprep.image.blockmap import BlockMap

B = 512


def mapped(*data: int, of: int) -> BlockMap:
    return BlockMap(of * B, B, bitarray([n in data for n in range(of)], endian="little"))


@pytest.mark.parametrize(
    ("body", "packed"),
    [
        (Bits(), "0502"),  # blocks 0, 2 and 9 of ten, the first in the least significant bit
        (Bits(bit_order="msb"), "a040"),
        (Bits(data_bit=0), "fa01"),
        (Bits(spare_bit=1), "05fe"),
        (Bits(word=4), "00000205"),
    ],
)
def test_the_bytes_are_those_that_are_computed_by_hand(body: Bits, packed: str) -> None:
    assert pack_bits(mapped(0, 2, 9, of=10), body).data.hex() == packed


@given(
    st.lists(st.booleans(), min_size=1, max_size=80),
    st.sampled_from(["lsb", "msb"]),
    st.sampled_from([0, 1]),
    st.sampled_from([1, 2, 4, 8]),
    st.sampled_from([0, 1]),
)
def test_what_is_packed_unpacks_to_the_same_blocks(
    data: list[bool], order: Literal["lsb", "msb"], bit: int, word: int, spare: int
) -> None:
    block_map = BlockMap(len(data) * B, B, bitarray(data, endian="little"))
    body = Bits(order, bit, word, spare)
    packed = pack_bits(block_map, body)
    assert len(packed.data) == packed.entries * word
    assert list(unpack_bits(packed.data, len(data), body)) == list(block_map.bits)


def test_an_empty_end_that_was_left_out_reads_as_no_data() -> None:
    body = Bits(trim=True)
    packed = pack_bits(mapped(3, of=100), body).data
    assert packed == b"\x08"
    assert unpack_bits(packed, 100, body).count() == 1


def test_a_bitmap_has_the_name_of_its_image() -> None:
    assert bitmap_path(Path("a/disk.raw")) == Path("a/disk.mf")
