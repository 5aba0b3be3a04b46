"""The bitmap file (`.mf`) that goes beside a RAW image: its layout, and a block map as bytes.

The vendor's byte layout is not published. The default here is the convention that Huawei published
for the bitmap inside ZVHD2: one bit per block of 2 MiB, least significant bit first, 1 = the block
holds data, nothing before it and nothing after it.
"""

from __future__ import annotations

from pathlib import Path

from bitarray import bitarray

from imsprep.blockmap import BlockMap
from imsprep.errors import FormatError
from imsprep.layout import DEFAULT_LAYOUT, BitmapLayout
from imsprep.units import ceil_div

SUFFIX = ".mf"


def encode(block_map: BlockMap, layout: BitmapLayout = DEFAULT_LAYOUT) -> bytes:
    """Return the file's bytes for a block map of the layout's block size, or a finer one."""
    if block_map.block_size != layout.block_size:
        block_map = block_map.coarsened(layout.block_size)
    return block_map.bits.tobytes()


def decode(data: bytes, size: int, layout: BitmapLayout = DEFAULT_LAYOUT) -> BlockMap:
    """Return the block map of a disk of `size` bytes; FormatError if the file does not fit it."""
    blocks = ceil_div(size, layout.block_size)
    if len(data) != ceil_div(blocks, 8):
        raise FormatError(
            f"a bitmap of {blocks} blocks has {ceil_div(blocks, 8)} bytes, this one {len(data)}"
        )
    bits = bitarray(endian="little")
    bits.frombytes(data)
    if bits[blocks:].any():
        raise FormatError("the bitmap marks blocks beyond the end of the disk", offset=blocks // 8)
    return BlockMap(size, layout.block_size, bits[:blocks])


def bitmap_path(image: Path) -> Path:
    """Return the path of an image's bitmap: `disk.raw` has `disk.mf`."""
    return image.with_suffix(SUFFIX)
