"""The two upload formats, RAW and ZVHD2: the estimate of what each costs, and which is taken.

    raw     the image as it is, zeros copied inside the store, with its bitmap
    zvhd2   a container of compressed blocks, packed while it is sent

ZVHD2 is proven: it needs no bitmap whose layout the service may read otherwise. So it is what
`auto` takes, and RAW only with a bitmap that the vendor's tool made or a layout learned from one.
The ZVHD2 figures are estimates from a sample of the disk's own blocks, compressed as the container
compresses them; docs/zvhd2.md says what surrounds a block.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from imsprep.image.blockmap import BlockMap
from imsprep.image.disk import Disk
from imsprep.units import ceil_div, format_seconds, format_size, rough_size
from imsprep.upload.plan import PartPlan
from imsprep.zvhd2 import records
from imsprep.zvhd2.codec import Packer
from imsprep.zvhd2.writer import PackTask, block_ranges

RAW, ZVHD2, AUTO = "raw", "zvhd2", "auto"
VIA = (RAW, ZVHD2, AUTO)

SAMPLES = 48  # blocks; spread evenly, so that no part of the disk decides alone
BANDWIDTH = 100e6 / 8  # bytes per second: a line of 100 Mbit/s, where nothing is said
LOCAL_BYTES_PER_S = 200e6  # of `local:`, as a line and as a service; measured on two cores
_SLOWEST = 4.0  # times, that a few blocks may tell of a processor that others use too
LOCAL_START_S = 0.5  # until that service answers, with its questions; measured on two cores


@dataclass(frozen=True)
class FormatEstimate:
    """What one way costs: bytes on the wire, bytes of new files here, seconds of each step."""

    name: str
    wire: int
    local: int
    scan_s: float  # and all else that came before
    pack_s: float  # with storing it, where that is done here
    send_s: float
    wait_s: float | None = None  # for the job; None: not known
    overlapped: bool = False  # it is packed while it is sent

    @property
    def seconds(self) -> float:
        """The whole way, as far as it can be known."""
        both = (self.pack_s, self.send_s)
        return self.scan_s + (max(both) if self.overlapped else sum(both)) + (self.wait_s or 0.0)

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {**vars(self), "seconds": self.seconds}

    def __str__(self) -> str:
        waiting = " and the wait for the job" if self.wait_s is None else ""
        local = f"{format_size(self.local)} of new files" if self.local else "no new file"
        return (
            f"{self.name} about {format_seconds(self.seconds)}{waiting} ({format_size(self.wire)}"
            f" on the wire, {local} here)"
        )


@dataclass(frozen=True)
class Comparison:
    """The upload formats that can be taken, and which one is."""

    formats: tuple[FormatEstimate, ...]
    sample: Sample
    block_map: BlockMap  # of the disk, in the container's blocks
    bytes_per_s: float  # of the network
    taken: str  # the format's name
    reason: str = ""  # why that one
    assumed: bool = False  # the rate of the network, which was not given

    @property
    def chosen(self) -> FormatEstimate:
        """The format that is taken."""
        return self.named(self.taken)

    def named(self, name: str) -> FormatEstimate:
        """Return the format of this name."""
        return next(one for one in self.formats if one.name == name)

    @property
    def brief(self) -> str:
        """What is taken, how long it takes and what it sends."""
        taken = self.chosen
        waiting = " and the wait for the job" if taken.wait_s is None else ""
        new = f", {format_size(taken.local)} of new files here" if taken.local else ""
        time = f"about {format_seconds(taken.seconds)}{waiting}"
        sizes = rough_size(taken.wire) if self.sample.blocks else format_size(taken.wire)
        text = f"{taken.name}, {time}, {sizes}"
        if taken.wait_s is not None:  # a folder, and no line
            return f"{text} to store{new}"
        rate = f"{format_size(int(self.bytes_per_s))}/s{' (assumed)' if self.assumed else ''}"
        return f"{text} on the wire at {rate}{new}"

    @property
    def others(self) -> str:
        """What the formats would cost that are not taken; empty if there is none."""
        return ", ".join(str(one) for one in self.formats if one.name != self.taken)

    @property
    def why(self) -> str:
        """One sentence that a person can check."""
        rate = format_size(int(self.bytes_per_s))
        text = f"{', '.join(filter(None, [str(self.chosen), self.others]))}, at {rate}/s"
        if self.sample.blocks:
            text += (
                f". The sizes of zvhd2 are an estimate from {self.sample.blocks} blocks of this"
                f" disk, which pack to {self.sample.ratio:.0%}"
            )
        return f"{text}. {self.reason}" if self.reason else text

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {
            "formats": [one.as_dict() for one in self.formats],
            "sample_ratio": round(self.sample.ratio, 4),
            "sample_blocks": self.sample.blocks,
            "bytes_per_s": self.bytes_per_s,
            "chosen": self.taken,
            "reason": self.reason,
            "why": self.why,
        }


class Clocks(NamedTuple):
    """What tells the time that packing takes; both in seconds."""

    passed: Callable[[], float]  # by the wall
    used: Callable[[], float] = time.thread_time  # of a processor


@dataclass(frozen=True)
class Sample:
    """How the disk's own blocks pack."""

    ratio: float  # packed to plain
    bytes_per_s: float  # of plain data, one thread
    blocks: int  # that were packed
    slowed: float = 1.0  # seconds for one of a processor, which others may use as well


def take_sample(
    pread: Callable[[int, int], bytes],
    block_map: BlockMap,
    pack: Packer,
    clocks: Clocks,
    most: int = SAMPLES,
) -> Sample:
    """Pack some of the allocated blocks, at most so many, and measure."""
    allocated = np.flatnonzero(block_map.flags())
    if not len(allocated):
        return Sample(0.0, float("inf"), 0)
    count = min(most, len(allocated))
    places = ((np.arange(count) + 0.5) * len(allocated) / count).astype(int)  # of equal shares
    plain = packed = 0
    spent = used = 0.0
    for block in allocated[places]:
        data = pread(*block_map.byte_range(int(block)))
        start, before = clocks.passed(), clocks.used()
        packed += len(pack(data))
        spent += clocks.passed() - start
        used += clocks.used() - before
        plain += len(data)
    slowed = min(max(1.0, spent / used), _SLOWEST) if used > 0 else 1.0
    rate = plain / spent if spent > 0 else float("inf")
    return Sample(packed / plain, rate, len(places), slowed)


def estimated_size(block_map: BlockMap, sample: Sample) -> int:
    """Return about how many bytes the container will have; `block_map` in its blocks."""
    header = records.new_header(block_map.size, block_size=block_map.block_size)
    record = records.record_length(round(sample.ratio * block_map.block_size))
    index_lba = block_map.allocated * record + 2 * records.FOOTER_LENGTH
    footer = records.final_footer(header, block_map.allocated, index_lba)
    return footer.bitmap_lba + footer.bitmap_size + records.FOOTER_LENGTH


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What an estimate counts on."""

    bytes_per_s: float = BANDWIDTH  # of the line
    assumed: bool = False  # that rate, which was not given
    jobs: int = 1  # threads that pack
    streamed: bool = True  # it is packed while it is sent, and no file
    scan_s: float = 0.0  # spent on the check and the scan
    local: bool = False  # of such a service it is known how long it takes

    def wait_s(self, block_map: BlockMap, sample: Sample) -> float | None:
        """Return the seconds that the service takes, with its start; None if it is another's."""
        if not self.local:
            return None
        return (LOCAL_START_S + block_map.data_bytes / LOCAL_BYTES_PER_S) * sample.slowed

    def store_s(self, wire: int, sample: Sample) -> float:
        """Return the seconds in which so many bytes are stored here, by our own processors."""
        return wire / LOCAL_BYTES_PER_S * sample.slowed if self.local else 0.0


def compare(
    plan: PartPlan | None, block_map: BlockMap, sample: Sample, on: Conditions, taken: str
) -> Comparison:
    """Estimate the upload formats of one disk; `plan` is of RAW, None where that is not possible.

    `block_map` is in ZVHD2's blocks; `taken` is the name of the one that is sent.
    """
    wait_s, size = on.wait_s(block_map, sample), estimated_size(block_map, sample)
    pack_s = block_map.data_bytes / (sample.bytes_per_s * on.jobs)
    pack_s += on.store_s(size, sample)
    kept, send_s = 0 if on.streamed else size, size / on.bytes_per_s
    found = [FormatEstimate(ZVHD2, size, kept, on.scan_s, pack_s, send_s, wait_s, on.streamed)]
    if plan is not None:
        found.insert(0, _raw(plan, block_map, sample, on))
    formats = tuple(found)
    return Comparison(formats, sample, block_map, on.bytes_per_s, taken, assumed=on.assumed)


def estimate_raw(plan: PartPlan, block_map: BlockMap, on: Conditions) -> Comparison:
    """Estimate RAW where it is taken, and no other format; as `compare`."""
    nothing = Sample(0.0, float("inf"), 0)
    raw = _raw(plan, block_map, nothing, on)
    return Comparison((raw,), nothing, block_map, on.bytes_per_s, RAW, assumed=on.assumed)


def _raw(plan: PartPlan, block_map: BlockMap, sample: Sample, on: Conditions) -> FormatEstimate:
    bitmap = ceil_div(len(block_map), 8)
    wire = plan.sent + bitmap
    wait_s = on.wait_s(block_map, sample)
    send_s = max(wire / on.bytes_per_s, on.store_s(wire, sample))
    return FormatEstimate(RAW, wire, bitmap, on.scan_s, 0.0, send_s, wait_s)


def map_by_extents(disk: Disk, block_size: int) -> BlockMap:
    """Return the blocks that the disk's format stores; what lies in them may still be zeros."""
    flags = np.zeros(ceil_div(disk.size, block_size), np.bool_)
    for block, _ in block_ranges(disk.extents(), block_size):
        flags[block] = True
    return BlockMap.from_flags(disk.size, block_size, flags)


def sample_of(
    disk: Disk, block_map: BlockMap, packing: PackTask, most: int, clock: Callable[[], float]
) -> Sample:
    """Pack at most `most` of the disk's blocks and measure; `block_map` is in the packing's."""

    def pread(offset: int, length: int) -> bytes:
        buffer = bytearray(length)
        disk.pread_into(offset, memoryview(buffer))
        return bytes(buffer)

    pack = Packer(packing.method, packing.chosen_level)
    return take_sample(pread, block_map, pack, Clocks(clock), most)
