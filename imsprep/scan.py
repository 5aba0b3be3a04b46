"""Scan: look at every byte of an image that is not in a hole, and tell which blocks hold data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypedDict

import numpy as np

from imsprep.blockmap import BlockMap
from imsprep.image import RawImage
from imsprep.units import MIB, ceil_div

BLOCK_SIZE = 2 * MIB  # the container's default, and the bitmap's
TRUST, VERIFY, AUTO = "trust", "verify", "auto"
HOLES = (TRUST, VERIFY, AUTO)

_CHUNK = 8 * MIB  # bytes looked at in one step


class Vouched(NamedTuple):
    """How the scan knows what it says, in bytes; the three make up the whole image."""

    hole: int  # the file system says that nothing is stored there; not read
    probed: int  # in blocks where a first look found data, so that the rest was not read
    read: int  # looked at byte for byte, as far as a block's first data

    def as_dict(self) -> dict[str, int]:
        """Return plain values for JSON."""
        return self._asdict()


@dataclass(frozen=True)
class Scan:
    """What a scan found, and how it knows."""

    block_map: BlockMap
    vouched: Vouched


class ScanOptions(TypedDict, total=False):
    """How to scan; what every caller hands through to `scan` untouched."""

    jobs: int | None  # processes that read; None: as many as there are CPUs
    holes: str  # one of HOLES
    keep_cache: bool


def scan(
    image: RawImage,
    *,
    block_size: int = BLOCK_SIZE,
    jobs: int | None = None,
    holes: str = AUTO,
    keep_cache: bool = False,
    progress: Callable[[int], None] = lambda count: None,
) -> Scan:
    """Return the block map of an image, the same for any `jobs` and `holes`.

    `holes` says whether holes are taken for zeros without being read: `trust`, `verify` (read
    them), or `auto`: trust file systems that are known to report them rightly. `keep_cache` leaves
    in the page cache what the scan brought there. `progress` is told bytes, holes included.
    Raises ReadError, and ImageChangedError if the image changed.
    """
    flags = np.zeros(ceil_div(image.size, block_size), dtype=np.bool_)
    in_holes = 0
    extents = [(0, image.size, True)] if holes == VERIFY else image.extents()
    for offset, length, is_data in extents:
        if is_data:
            _scan_range(image, offset, offset + length, block_size, flags)
        else:
            in_holes += length
        progress(length)
    image.check_unchanged()
    vouched = Vouched(in_holes, 0, image.size - in_holes)
    return Scan(BlockMap.from_flags(image.size, block_size, flags), vouched)


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
