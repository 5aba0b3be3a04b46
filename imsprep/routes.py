"""Routes: the two ways of an image into the bucket, compared before a byte is sent.

    raw     the image as it is, zeros copied inside the store, with its bitmap beside it
    zvhd2   a container of compressed blocks, made on this machine first

The ZVHD2 figures are estimates from a sample of the image's own blocks, compressed as the container
compresses them (zstandard, one frame per block); docs/zvhd2.md says what surrounds a block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import zstandard

from imsprep.blockmap import BlockMap
from imsprep.parts import PartPlan
from imsprep.units import KIB, MIB, format_size, round_up

RAW, ZVHD2, AUTO = "raw", "zvhd2", "auto"
VIA = (RAW, ZVHD2, AUTO)

BLOCK_SIZE = 2 * MIB  # the container's default
BLOCK_OVERHEAD = 52  # bytes: a header of 48 and "end\0" behind the data
ALIGNMENT = 4 * KIB  # each stored block begins at a multiple of it
INDEX_ENTRY = 16  # bytes for each block
FOOTERS = 12 * KIB  # header, middle and final footer
SAMPLES = 48  # blocks; spread evenly, so that no part of the disk decides alone
LEVEL = 3  # zstandard's own default
BANDWIDTH = 100e6 / 8  # bytes per second: a line of 100 Mbit/s, where nothing is said


@dataclass(frozen=True)
class Route:
    """What one way costs: bytes on the wire, bytes of new files here, seconds."""

    name: str
    wire: int
    local: int
    seconds: float


@dataclass(frozen=True)
class Comparison:
    """Both routes, and which is quicker."""

    routes: tuple[Route, ...]
    ratio: float  # of compressed to plain, in the sample
    bytes_per_s: float  # of the network

    @property
    def quicker(self) -> Route:
        """The route that takes less time; ZVHD2 if they take the same, as it needs no bitmap."""
        return min(self.routes, key=lambda r: (r.seconds, r.name != ZVHD2))

    @property
    def why(self) -> str:
        """One sentence that a person can check."""
        best = self.quicker
        other = next(r for r in self.routes if r is not best)
        return (
            f"{best.name} takes about {best.seconds:.0f} s, {other.name} {other.seconds:.0f} s, at"
            f" {format_size(int(self.bytes_per_s))}/s: {format_size(best.wire)} against"
            f" {format_size(other.wire)} on the wire"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "routes": [vars(route) for route in self.routes],
            "sample_ratio": round(self.ratio, 4),
            "bytes_per_s": self.bytes_per_s,
            "quicker": self.quicker.name,
            "why": self.why,
        }


@dataclass(frozen=True)
class Sample:
    """How the image's own blocks compress."""

    ratio: float  # compressed to plain, at most 1: a block that grows is stored plain
    bytes_per_s: float  # of plain data, one thread


def take_sample(
    pread: Callable[[int, int], bytes], block_map: BlockMap, clock: Callable[[], float]
) -> Sample:
    """Compress some of the allocated blocks and measure; `clock` in seconds."""
    allocated = np.flatnonzero(block_map.flags())
    if not len(allocated):
        return Sample(0.0, float("inf"))
    places = np.linspace(0, len(allocated) - 1, min(SAMPLES, len(allocated))).astype(int)
    compressor = zstandard.ZstdCompressor(level=LEVEL)
    plain = packed = 0
    spent = 0.0
    for block in allocated[places]:
        data = pread(*block_map.byte_range(int(block)))
        start = clock()
        size = len(compressor.compress(data))
        spent += clock() - start
        plain += len(data)
        packed += min(size, len(data))
    return Sample(packed / plain, plain / spent if spent > 0 else float("inf"))


def compare(
    plan: PartPlan, block_map: BlockMap, sample: Sample, *, bytes_per_s: float = BANDWIDTH
) -> Comparison:
    """Compare both routes of one image; `block_map` in the container's block size."""
    bitmap = -(-len(block_map) // 8)
    raw = Route(RAW, plan.sent + bitmap, bitmap, (plan.sent + bitmap) / bytes_per_s)
    per_block = round_up(int(sample.ratio * block_map.block_size) + BLOCK_OVERHEAD, ALIGNMENT)
    size = block_map.allocated * per_block + len(block_map) * INDEX_ENTRY + bitmap + FOOTERS
    seconds = size / bytes_per_s + block_map.data_bytes / sample.bytes_per_s
    return Comparison((raw, Route(ZVHD2, size, size, seconds)), sample.ratio, bytes_per_s)
