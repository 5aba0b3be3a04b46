"""The ordinary bitmap: one bit for each block, in bytes or words, its end padded.

What stands around it in a file, and the other bodies, belong to `codec`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from bitarray import bitarray

from imsprep.bitmap.layout import Bits
from imsprep.image.blockmap import BlockMap
from imsprep.units import ceil_div, round_up

SUFFIX = ".mf"

_ORDERS: dict[str, Literal["little", "big"]] = {"lsb": "little", "msb": "big"}


def bitmap_path(image: Path) -> Path:
    """Return the path of an image's bitmap: `disk.raw` has `disk.mf`."""
    return image.with_suffix(SUFFIX)


class PackedBits(NamedTuple):
    """A body as bytes, and how many words or entries it is made of."""

    data: bytes
    entries: int


def pack_bits(block_map: BlockMap, body: Bits) -> PackedBits:
    """Return the bits of all blocks as bytes."""
    bits = bitarray(block_map.bits, endian=_ORDERS[body.bit_order])
    if not body.data_bit:
        bits.invert()
    bits.extend([body.spare_bit] * (round_up(len(bits), 8 * body.word) - len(bits)))
    data = bits.tobytes()
    if body.trim:
        data = data[: round_up(len(data.rstrip(b"\0")), body.word)]
    return PackedBits(_swapped(data, body.word), len(data) // body.word)


def unpack_bits(data: bytes, blocks: int, body: Bits) -> bitarray:
    """Return which of so many blocks hold data; what is missing at the end counts as zeros."""
    size = round_up(ceil_div(blocks, 8), body.word)
    bits = bitarray(endian=_ORDERS[body.bit_order])
    bits.frombytes(_swapped(data[:size].ljust(size, b"\0"), body.word))
    del bits[blocks:]
    if not body.data_bit:
        bits.invert()
    return bits


def _swapped(data: bytes, word: int) -> bytes:
    """Return whole words with the bytes of each in the opposite order."""
    swapped = bytearray(data)
    for n in range(word):
        swapped[n::word] = data[word - 1 - n :: word]
    return bytes(swapped)
