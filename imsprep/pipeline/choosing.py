"""Choosing: look at a disk before it goes, and compare the formats that it may take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from imsprep.image.blockmap import BlockMap
from imsprep.image.disk import Disk
from imsprep.pipeline import formats
from imsprep.pipeline.formats import Comparison
from imsprep.units import ceil_div
from imsprep.upload.plan import PartPlan
from imsprep.zvhd2.codec import Packer
from imsprep.zvhd2.writer import Packing, block_ranges


def map_by_extents(disk: Disk, block_size: int) -> BlockMap:
    """Return the blocks that the disk's format stores; what lies in them may still be zeros."""
    flags = np.zeros(ceil_div(disk.size, block_size), np.bool_)
    for block, _ in block_ranges(disk.extents(), block_size):
        flags[block] = True
    return BlockMap.from_flags(disk.size, block_size, flags)


def compare_formats(
    disk: Disk,
    block_map: BlockMap,
    packing: Packing,
    *,
    plan: PartPlan | None,
    most: int,
    clock: Callable[[], float],
    **more: Any,
) -> Comparison:
    """Pack at most `most` of the disk's blocks and compare; `more` as `formats.compare`.

    `plan` is of the RAW format, None where that cannot be taken.
    """

    def pread(offset: int, length: int) -> bytes:
        buffer = bytearray(length)
        disk.pread_into(offset, memoryview(buffer))
        return bytes(buffer)

    coarse = block_map.coarsened(packing.block_size)
    pack = Packer(packing.method, packing.chosen_level)
    sample = formats.take_sample(pread, coarse, pack, clock, most)
    return formats.compare(plan, coarse, sample, jobs=packing.jobs, **more)
