"""Routes: the two ways of an image into the bucket, compared before a byte is sent.

    raw     the image as it is, zeros copied inside the store, with its bitmap beside it
    zvhd2   a container of compressed blocks, made on this machine first

The ZVHD2 figures are estimates from a sample of the disk's own blocks, compressed as the container
compresses them; docs/zvhd2.md says what surrounds a block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from imsprep.image.blockmap import BlockMap
from imsprep.units import ceil_div, format_size
from imsprep.upload.plan import PartPlan
from imsprep.zvhd2 import records
from imsprep.zvhd2.codec import Packer

RAW, ZVHD2, AUTO = "raw", "zvhd2", "auto"
VIA = (RAW, ZVHD2, AUTO)

SAMPLES = 48  # blocks; spread evenly, so that no part of the disk decides alone
BANDWIDTH = 100e6 / 8  # bytes per second: a line of 100 Mbit/s, where nothing is said


@dataclass(frozen=True)
class Route:
    """What one way costs: bytes on the wire, bytes of new files here, seconds."""

    name: str
    wire: int
    local: int
    seconds: float
    obstacle: str | None = None  # why it cannot be taken

    def __str__(self) -> str:
        return (
            f"{self.name} about {self.seconds:.3g} s ({format_size(self.wire)} on the wire,"
            f" {format_size(self.local)} of new files here)"
        )


@dataclass(frozen=True)
class Comparison:
    """Both routes, and which to take."""

    routes: tuple[Route, ...]
    sample: Sample
    block_map: BlockMap  # of the disk, in the container's blocks
    bytes_per_s: float  # of the network
    asked: str = AUTO  # for a route, or for the better one

    @property
    def chosen(self) -> Route:
        """The route asked for, or the quicker one; ZVHD2 on a tie, as it needs no bitmap."""
        if self.asked != AUTO:
            return self.route(self.asked)
        return min(self.routes, key=lambda r: (bool(r.obstacle), r.seconds, r.name != ZVHD2))

    def route(self, name: str) -> Route:
        """Return the route of this name."""
        return next(route for route in self.routes if route.name == name)

    @property
    def why(self) -> str:
        """One sentence that a person can check."""
        chosen = self.chosen
        [other] = [route for route in self.routes if route is not chosen]
        reason = f"; {other.name} cannot be taken: {other.obstacle}" if other.obstacle else ""
        if self.asked != AUTO:
            reason += "; it was asked for"
        return (
            f"{chosen}, {other}, at {format_size(int(self.bytes_per_s))}/s{reason}. The sizes of"
            f" zvhd2 are an estimate from {self.sample.blocks} blocks of this disk, which pack to"
            f" {self.sample.ratio:.0%}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "routes": [vars(route) for route in self.routes],
            "sample_ratio": round(self.sample.ratio, 4),
            "sample_blocks": self.sample.blocks,
            "bytes_per_s": self.bytes_per_s,
            "chosen": self.chosen.name,
            "why": self.why,
        }


@dataclass(frozen=True)
class Sample:
    """How the disk's own blocks pack."""

    ratio: float  # packed to plain
    bytes_per_s: float  # of plain data, one thread
    blocks: int  # that were packed


def take_sample(
    pread: Callable[[int, int], bytes],
    block_map: BlockMap,
    pack: Packer,
    clock: Callable[[], float],
) -> Sample:
    """Pack some of the allocated blocks and measure; `clock` in seconds."""
    allocated = np.flatnonzero(block_map.flags())
    if not len(allocated):
        return Sample(0.0, float("inf"), 0)
    places = np.linspace(0, len(allocated) - 1, min(SAMPLES, len(allocated))).astype(int)
    plain = packed = 0
    spent = 0.0
    for block in allocated[places]:
        data = pread(*block_map.byte_range(int(block)))
        start = clock()
        packed += len(pack(data))
        spent += clock() - start
        plain += len(data)
    return Sample(packed / plain, plain / spent if spent > 0 else float("inf"), len(places))


def estimated_size(block_map: BlockMap, sample: Sample) -> int:
    """Return about how many bytes the container will have; `block_map` in its blocks."""
    header = records.new_header(block_map.size, block_size=block_map.block_size)
    record = records.record_length(round(sample.ratio * block_map.block_size))
    index_lba = block_map.allocated * record + 2 * records.FOOTER_LENGTH
    footer = records.final_footer(header, block_map.allocated, index_lba)
    return footer.bitmap_lba + footer.bitmap_size + records.FOOTER_LENGTH


def compare(
    plan: PartPlan,
    block_map: BlockMap,
    sample: Sample,
    *,
    bytes_per_s: float = BANDWIDTH,
    jobs: int = 1,
    free: int | None = None,
    no_raw: str | None = None,
    asked: str = AUTO,
) -> Comparison:
    """Compare both routes of one disk; `plan` is of the RAW one, `block_map` in ZVHD2's blocks.

    `jobs` threads pack; `free` bytes are left for the container (None: not known); `no_raw` says
    why the RAW route cannot be taken.
    """
    bitmap = ceil_div(len(block_map), 8)
    raw = Route(RAW, plan.sent + bitmap, bitmap, (plan.sent + bitmap) / bytes_per_s, no_raw)
    size = estimated_size(block_map, sample)
    seconds = size / bytes_per_s + block_map.data_bytes / (sample.bytes_per_s * jobs)
    full = f"there are {format_size(free)} of room" if free is not None and free < size else None
    both = (raw, Route(ZVHD2, size, size, seconds, full))
    return Comparison(both, sample, block_map, bytes_per_s, asked)
