"""Scan: look at every byte of an image that is not in a hole, and tell which blocks hold data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from imsprep.blockmap import BlockMap
from imsprep.image import RawImage
from imsprep.units import MIB, ceil_div

_CHUNK = 8 * MIB  # bytes looked at in one step


@dataclass(frozen=True)
class Scan:
    """What a scan found."""

    block_map: BlockMap


def scan(
    image: RawImage,
    *,
    block_size: int = 2 * MIB,
    progress: Callable[[int], None] = lambda count: None,
) -> Scan:
    """Return the block map of an image; holes are taken for zeros without being read.

    `progress` is told bytes. Raises ReadError, and ImageChangedError if the image changed.
    """
    flags = np.zeros(ceil_div(image.size, block_size), dtype=np.bool_)
    for offset, length, is_data in image.extents():
        if is_data:
            _scan_range(image, offset, offset + length, block_size, flags)
        progress(length)
    image.check_unchanged()
    return Scan(BlockMap.from_flags(image.size, block_size, flags))


def _scan_range(
    image: RawImage,
    start: int,
    stop: int,
    block_size: int,
    flags: np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> None:
    """Mark the blocks of one range that hold data; the range may begin and end inside a block."""
    while start < stop:
        end = min(stop, (start // block_size + 1) * block_size)
        while end < stop and end + block_size - start <= _CHUNK:
            end = min(stop, end + block_size)
        data = np.frombuffer(image.pread(start, end - start), dtype=np.uint8)
        edges = np.arange(start // block_size * block_size, end, block_size)
        starts = np.maximum(edges - start, 0)
        for block, low, high in zip(
            edges // block_size, starts, [*starts[1:], len(data)], strict=True
        ):
            flags[block] |= bool(data[low:high].any())
        start = end
