"""The probe: a sparse RAW image whose bitmap tells every hypothesis about its layout apart.

The vendor's tool is run on it once; `learn` then looks for the layout that reproduces what the tool
wrote. The sectors that hold data are spread by a hash, so that the block maps of different block
sizes, orders and polarities have nothing in common. Three things are made on purpose:

- the last quarter is empty, so that a bitmap whose empty end is left out is noticed;
- a run of neighbouring sectors has data, so that extents are longer than one block at any size;
- the size is 16 GiB and five sectors: every number of blocks is odd, so that there are spare bits,
  and blocks and blocks with data are more than 255 in number, which no constant is by chance.

A probe of any other size has data in its last sector instead: it is for what the first one could
not tell, such as whether an extent of the short last block is cut at the end of the disk.
"""

from __future__ import annotations

import hashlib

import numpy as np

from imsprep.image.blockmap import BlockMap
from imsprep.units import GIB, KIB, MIB, SECTOR, ceil_div

DEFAULT_SIZE = 16 * GIB + 5 * SECTOR
MIN_SIZE = 64 * MIB  # below, most hypotheses have too few blocks to differ

_CELL = 32 * MIB  # the unit in which sectors are chosen
_RUN_START, _RUN = 5 * MIB + 3 * SECTOR, 1200 * KIB  # bytes


def sectors(size: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the numbers of the sectors that hold data, in order."""
    chosen = {0, *range(_RUN_START // SECTOR, (_RUN_START + _RUN) // SECTOR)}
    per_cell = _CELL // SECTOR
    for cell in range(size * 3 // 4 // _CELL):
        draw = hashlib.sha256(f"imsprep probe {cell}".encode()).digest()
        if draw[0] < 200:  # of 256: so many cells have data that their number is above 255
            for n in range(1 + draw[1] % 3):
                place = int.from_bytes(draw[4 + 4 * n : 8 + 4 * n], "little")
                chosen.add(cell * per_cell + place % per_cell)
    if size != DEFAULT_SIZE:
        chosen.add(size // SECTOR - 1)
    return np.array(sorted(chosen), dtype=np.int64)


def probe_map(size: int, block_size: int) -> BlockMap:
    """Return the block map of a probe, without reading one."""
    flags = np.zeros(ceil_div(size, block_size), dtype=np.bool_)
    flags[sectors(size) * SECTOR // block_size] = True
    return BlockMap.from_flags(size, block_size, flags)


def sector_content(number: int) -> bytes:
    """Return what stands in a sector that holds data: words for whoever looks into the file."""
    return f"imsprep probe, sector {number}\n".encode().ljust(SECTOR, b".")
