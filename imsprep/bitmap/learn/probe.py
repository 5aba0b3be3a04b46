"""The probes: sparse RAW images whose bitmaps distinguish every candidate layout.

The vendor's tool is run on it once; `learn` then looks for the layout that reproduces what the tool
wrote. The sectors that hold data are spread by a hash, so that the block maps of different block
sizes, orders and polarities have nothing in common. A run of neighbouring sectors has data, so that
extents are longer than one block at any size.

Two are needed at least, since with one every checksum, name, time or size may be a constant. They
differ in all that a tool may treat in a way of its own (`layout.Shape`):

- The first is small, as the smallest disk for which the layout will be used, of whole blocks, with
  data in its first and last block and in most of the others, and a boot record's signature.
- The second is so large that it reaches beyond 128 GiB: then a bitmap in segments of 32,768
  blocks, as a ZVHD2 has them, begins its third; the second is empty, in case that such are left
  out. Its first 64 MiB and its last quarter are empty, so that a block that is always marked and an
  empty end that is left out are noticed. It has whole MiB and five sectors: every number of blocks
  is odd, so that there are spare bits. Blocks and blocks with data are more than 255 in number,
  which no constant is by chance. There are some hundred extents, and one of 4 GiB: so few that a
  list is shorter than bits, and in the first one longer, in case that a tool writes the shorter.

A probe of any other size has data in its last sector, unless it has five sectors more than whole
MiB. The other *kinds* are the boundary cases: no data, data everywhere, data in one block.
"""

from __future__ import annotations

import hashlib

import numpy as np

from imsprep.image.blockmap import BlockMap
from imsprep.units import GIB, KIB, MIB, SECTOR, ceil_div

FIRST_SIZE = 64 * MIB
SECOND_SIZE = 173 * GIB + 5 * SECTOR  # three quarters of it are more than 128 GiB
MIN_SIZE = 32 * MIB  # below, there is too little to tell layouts apart

DATA, NONE, ALL, ONE = "data", "none", "all", "one"
KINDS = (DATA, NONE, ALL, ONE)

_LARGE = GIB
_CELL, _SMALL_CELL = 32 * MIB, MIB  # the unit in which sectors are chosen, of large and small ones
_GAP = range(64 * GIB, 128 * GIB)  # bytes without data: the second segment, in blocks of 2 MiB
_START = 64 * MIB  # bytes without data at the start of what reaches into the gap: the largest block
_EMPTY_END = 5 * SECTOR  # what sizes without data at their end have beyond whole MiB
_PAGE = 4 * KIB  # the smallest block of which every one has data
_RUN_START, _RUN = 5 * MIB + 3 * SECTOR, 1200 * KIB  # bytes
_LONG_RUN = range(16 * GIB, 20 * GIB, MIB)  # bytes; with data in each of its MiB
_BOOT_SIGNATURE = b"\x55\xaa"  # at the end of a boot record


def sectors(size: int, kind: str = DATA) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the numbers of the sectors that hold data, in order."""
    if kind != DATA:
        step = {NONE: size, ALL: _PAGE, ONE: size}[kind] // SECTOR
        first = {NONE: size // SECTOR, ALL: 0, ONE: size // 2 // SECTOR}[kind]
        return np.arange(first, size // SECTOR, step, dtype=np.int64)
    large = size >= _LARGE
    start = _START if size > _GAP.start else 0
    run = start + _RUN_START
    chosen = set(range(run // SECTOR, (run + _RUN) // SECTOR))
    chosen |= set() if start else {0}
    size_of_cell = _CELL if large else _SMALL_CELL
    per_cell = size_of_cell // SECTOR
    # Of 256: more than 255 cells of large ones have data, and no more of what has thousands.
    often = 46 if start else 200 if large else 100
    filled = size if not large and size % MIB != _EMPTY_END else size * 3 // 4
    for cell in range(filled // size_of_cell):
        draw = hashlib.sha256(f"imsprep probe {cell}".encode()).digest()
        at = cell * size_of_cell
        if draw[0] < often and at >= start and at not in _GAP:
            for n in range(1 + draw[1] % 3):
                place = int.from_bytes(draw[4 + 4 * n : 8 + 4 * n], "little")
                chosen.add(cell * per_cell + place % per_cell)
    if _LONG_RUN.stop <= size * 3 // 4:
        chosen |= {place // SECTOR for place in _LONG_RUN}
    if size % MIB != _EMPTY_END:
        chosen.add(size // SECTOR - 1)
    return np.array(sorted(chosen), dtype=np.int64)


def probe_map(size: int, block_size: int) -> BlockMap:
    """Return the block map of a probe, without reading one."""
    flags = np.zeros(ceil_div(size, block_size), dtype=np.bool_)
    flags[sectors(size) * SECTOR // block_size] = True
    return BlockMap.from_flags(size, block_size, flags)


def sector_content(number: int) -> bytes:
    """Return what stands in a sector that holds data: words for a reader of the file.

    The first sector ends as a boot record does, in case that a tool looks for one.
    """
    text = f"imsprep probe, sector {number}\n".encode().ljust(SECTOR, b".")
    return text if number else text[: -len(_BOOT_SIGNATURE)] + _BOOT_SIGNATURE
