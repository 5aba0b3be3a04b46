"""The upload as a plan: which parts an object is made of, and how zeros get there unsent.

An object store has no holes, but it copies parts on its own side. A plan covers every byte of the
object once, in order, with

- *data parts*, which are sent: 5 MiB to 5 GiB each (the last may be shorter);
- *zero parts*, which the store copies from a *zero object*, itself grown on the store's side from
  a seed of 5 MiB (`plan_growth`) and removed when the upload is done;
- *assembled parts*, for data that is too short for a part: zeros in front of it fill the part up
  and are copied, so that only the data is sent (`parts.zeros.assemble`).

A container that is packed while it is sent has no plan: `pipeline.container.streamed` cuts it.

A run of zeros that is too short for a part of its own is sent as data. There are never more than
10,000 parts. Where there would be, parts get larger; then the shortest gaps between data go into
assembled parts whole; and only then, for more than 10,000 runs of data, are the shortest of them
sent. Pure: a plan is a value; `transfer` carries it out.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from imsprep.errors import UsageError
from imsprep.image.blockmap import BlockMap
from imsprep.options import DEFAULT_PART_SIZE
from imsprep.store.contract import MAX_PART_NUMBER, MAX_PART_SIZE, MIN_PART_SIZE
from imsprep.units import KIB, MIB, ceil_div, counted, exact_size, format_size

# Bytes of the blocks in which a file is scanned for a plan: smaller than those of bitmap and
# container, so that less zeros travel along with data; the scan costs the same.
SCAN_BLOCK = 512 * KIB
# A data part is held in memory while it is sent; four at a time must stay well below 300 MiB.
# Growing the zero object costs the store its size once; a smaller one costs more requests. With
# 1/1024 of all zeros neither matters.
_MIN_ZERO_SIZE = 64 * MIB
_ZERO_SHARE = 1024
_GROWTH = 16  # copies in one step of growing
# An assembled part costs five requests more than a data part; less than this is not worth them.
_WORTH_COMPOSING = 1 * MIB
# Data parts begin and end at multiples of it from where their run begins: whole leaves of a digest.
_GRAIN = 64 * KIB
# A zero part longer than _ODD_ZEROS (in need: MOST_ODD_ZEROS) has one of these lengths.
ZERO_LENGTHS = tuple(n * MIB for n in (5120, 4096, 2048, 1024, 512, 256, 128, 64, 32))
_ODD_ZEROS = 256 * MIB
MOST_ODD_ZEROS = 1024 * MIB
# OBS API reference: an object has at most 48.8 TB.
MAX_OBJECT_SIZE = 48_800_000_000_000


class PlannedPart(NamedTuple):
    """One part: `length` bytes of the object from `offset`, the first `zeros` of them not sent."""

    number: int  # from 1
    offset: int  # bytes
    length: int  # bytes
    zeros: int  # bytes; all of a zero part, none of a data part

    @property
    def is_zero(self) -> bool:
        """Return whether nothing of it is sent."""
        return self.zeros == self.length

    @property
    def sent(self) -> int:
        """Bytes that travel."""
        return self.length - self.zeros

    @property
    def kind(self) -> str:
        """What it is made of, in a word or two."""
        if self.is_zero:
            return "zeros"
        return f"data, {self.zeros} zeros first" if self.zeros else "data"


class BlockRun(NamedTuple):
    """Neighbouring bytes of the same kind: start and stop in bytes."""

    start: int
    stop: int
    is_zero: bool

    @property
    def length(self) -> int:
        """Bytes in the run."""
        return self.stop - self.start


@dataclass(frozen=True)
class PartPlan:
    """The parts of an object of `size` bytes, in order."""

    size: int
    parts: tuple[PlannedPart, ...]

    @property
    def sent(self) -> int:
        """Bytes that travel."""
        return sum(part.sent for part in self.parts)

    @property
    def copied(self) -> int:
        """Bytes that the store copies on its side."""
        return self.size - self.sent

    @property
    def zero_size(self) -> int:
        """Bytes that the zero object needs; 0 if nothing is copied."""
        return max((part.zeros for part in self.parts), default=0)

    @property
    def digest(self) -> str:
        """What tells one plan from another: SHA-256 in hex over all parts."""
        text = "".join(f"{p.offset} {p.length} {p.zeros}\n" for p in self.parts)
        return hashlib.sha256(f"{self.size}\n{text}".encode()).hexdigest()

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON, every part among them."""
        return {
            "size": self.size,
            "sent": self.sent,
            "copied": self.copied,
            "digest": self.digest,
            "parts": [part._asdict() for part in self.parts],
        }

    def lines(self, *, estimated: bool = False) -> list[str]:
        """Write a table of the parts; sizes in bytes, or rounded where they are `estimated`."""
        rows = [
            (format_size(p.offset), format_size(p.length)) if estimated
            else (str(p.offset), str(p.length))
            for p in self.parts
        ]  # fmt: skip
        unit = ", about" if estimated else ", bytes"
        head = f"{'part':>6} {f'offset{unit}':>15} {f'length{unit}':>15} kind"
        return [head] + [
            f"{p.number:6} {offset:>15} {length:>15} {p.kind}"
            for p, (offset, length) in zip(self.parts, rows, strict=True)
        ]

    def __str__(self) -> str:
        zero_parts = sum(part.is_zero for part in self.parts)
        whole = f"{exact_size(self.size)} in {counted(len(self.parts), 'part')}"
        if not zero_parts:
            return f"{whole}, all of it to send"
        return (
            f"{whole}: {exact_size(self.sent)} to send in {len(self.parts) - zero_parts},"
            f" {exact_size(self.copied)} of zeros to copy in {zero_parts}"
        )


def plan_parts(
    block_map: BlockMap,
    *,
    copy_zeros: bool = True,
    assemble: bool = True,
    part_size: int = DEFAULT_PART_SIZE,
    most_parts: int = MAX_PART_NUMBER,
) -> PartPlan:
    """Plan the upload of a disk whose empty blocks are zeros.

    `part_size` is the largest data part, in bytes, as long as `most_parts` are enough. With
    `copy_zeros` false everything is sent; with `assemble` false no part is assembled. Raises
    UsageError for a size that cannot be uploaded.

    Where there are too many parts, gaps are joined by their length alone. That sends the least as
    long as a joined gap saves the same number of parts, as nearly all do: not where the parts of
    joined data begin to be cut at 5 GiB, nor where a gap of more than 1 GiB is several parts. Of
    the gaps that are joined so many may be too many: one for each 5 GiB, and for each GiB, of the
    disk's size, the longest last. With 10,000 parts for 1 TiB they are among the shortest of
    5,000 gaps; with a few parts they may be most of what is sent.
    """
    size = block_map.size
    if not copy_zeros:
        return plan_plain(size, part_size=part_size)
    _check(size, part_size)
    if size > most_parts * MAX_PART_SIZE:
        raise UsageError(f"cannot upload {exact_size(size)} in {counted(most_parts, 'part')}")
    runs = _joined(_long_gaps(block_map, most_parts), assemble)
    sizes = _Sizes.first(part_size, sum(run.length for run in runs if run.is_zero))
    for way in sizes.growing():
        parts = _Parts(runs, way, assemble)
        absorbed = parts.absorbed_for(most_parts)
        if absorbed is not None:
            return PartPlan(size, tuple(parts.cut(absorbed)))
    parts = _with_fewest_joined(runs, way, assemble, most_parts)
    return PartPlan(size, tuple(parts.cut(parts.absorbed_for(most_parts) or frozenset())))


def _with_fewest_joined(runs: list[BlockRun], sizes: _Sizes, assemble: bool, most: int) -> _Parts:
    """Return parts of runs of which only so many gaps are joined as it takes."""

    def joining(count: int) -> _Parts:
        return _Parts(_joined(_without_shortest(runs, count, assemble), assemble), sizes, assemble)

    # A gap that is joined saves some parts, so that more of them never make it worse.
    counts = range(sum(run.is_zero for run in runs))
    return joining(bisect_left(counts, 1, key=lambda count: joining(count).least() <= most))


def plan_plain(size: int, *, part_size: int = DEFAULT_PART_SIZE) -> PartPlan:
    """Plan the upload of a file that is sent as it is, such as a container or a bitmap file."""
    _check(size, part_size)
    runs = [BlockRun(0, size, False)]
    for way in _Sizes.first(part_size, 0).growing():
        parts = _Parts(runs, way, assemble=False)
        if parts.plain() <= MAX_PART_NUMBER:
            break
    return PartPlan(size, tuple(parts.cut(frozenset())))


def _check(size: int, part_size: int) -> None:
    if not 0 < size <= MAX_OBJECT_SIZE:
        raise UsageError(f"cannot upload {exact_size(size)}: expected 1 to {MAX_OBJECT_SIZE} bytes")
    if not 2 * MIN_PART_SIZE <= part_size <= MAX_PART_SIZE:
        raise UsageError(
            f"the part size is {exact_size(part_size)}: expected {exact_size(2 * MIN_PART_SIZE)} to"
            f" {exact_size(MAX_PART_SIZE)}"
        )


class _Sizes(NamedTuple):
    """How long parts may be, in bytes."""

    data: int
    zeros: int  # of the zero object
    odd: int  # a zero part is a power of two of MiB, or no longer than this

    @classmethod
    def first(cls, part_size: int, zeros: int) -> _Sizes:
        """Return the sizes to begin with, for so many zeros in all."""
        zero_size = _MIN_ZERO_SIZE
        while zero_size < min(zeros // _ZERO_SHARE, MAX_PART_SIZE):
            zero_size = min(2 * zero_size, MAX_PART_SIZE)
        return cls(part_size // _GRAIN * _GRAIN, zero_size, min(zero_size, _ODD_ZEROS))

    def growing(self) -> Iterator[_Sizes]:
        """Yield these sizes, and larger ones up to the largest that a part may have."""
        yield self
        now = self._replace(zeros=max(self.zeros, MOST_ODD_ZEROS), odd=MOST_ODD_ZEROS)
        while True:
            yield now
            if now.data == MAX_PART_SIZE:
                return
            now = now._replace(
                data=min(2 * now.data, MAX_PART_SIZE), zeros=min(2 * now.zeros, MAX_PART_SIZE)
            )


def _long_gaps(block_map: BlockMap, most: int) -> list[BlockRun]:
    """Return the runs of a disk, where zeros that are too few for a part count as data.

    Each run of data is a part at least: of more than `most` runs the nearest are joined.
    """
    flags = np.diff(block_map.flags().view(np.int8), prepend=0, append=0)
    starts, stops = np.flatnonzero(flags == 1), np.flatnonzero(flags == -1)
    starts, stops = starts * block_map.block_size, stops * block_map.block_size
    if not len(starts):
        return [BlockRun(0, block_map.size, True)]
    stops[-1] = min(int(stops[-1]), block_map.size)
    gaps = starts[1:] - stops[:-1]
    long = gaps >= MIN_PART_SIZE
    surplus = max(0, int(long.sum()) + 1 - most)
    shortest = np.argsort(np.where(long, gaps, np.iinfo(gaps.dtype).max), kind="stable")
    long[shortest[:surplus]] = False
    starts, stops = starts[np.append(True, long)], stops[np.append(long, True)]
    runs, position = [], 0
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        runs += [BlockRun(position, start, True), BlockRun(start, stop, False)]
        position = stop
    runs.append(BlockRun(position, block_map.size, True))
    return [run for run in runs if run.length]  # a disk may begin and end with data


def _without_shortest(runs: list[BlockRun], count: int, assemble: bool) -> list[BlockRun]:
    """Return runs without the `count` shortest gaps, which become data.

    The first one comes last where gaps are absorbed: then it saves no part.
    """
    gaps = [n for n, run in enumerate(runs) if run.is_zero]
    gaps.sort(key=lambda n: (assemble and n == 0, runs[n].length))
    dropped = set(gaps[:count])
    return [run._replace(is_zero=False) if n in dropped else run for n, run in enumerate(runs)]


def _joined(runs: Iterable[BlockRun], assemble: bool) -> list[BlockRun]:
    """Return runs that can be parts: no short zeros, no short data but what is assembled.

    Zeros become data where they are too few, or where data before them needs filling up.
    """
    joined: list[BlockRun] = []
    for run in runs:
        if joined and not joined[-1].is_zero:
            before = joined[-1]
            wanted = before.stop
            if not (assemble and len(joined) > 1 and _is_short(before)):
                # Data that is too short for a part takes the first of the zeros behind it.
                wanted = max(before.stop, min(before.start + MIN_PART_SIZE, run.stop))
            if not run.is_zero or run.stop - wanted < MIN_PART_SIZE:
                wanted = run.stop
            joined[-1] = before._replace(stop=wanted)
            if wanted < run.stop:
                joined.append(run._replace(start=wanted))
        elif run.is_zero and run.length < MIN_PART_SIZE:
            joined.append(run._replace(is_zero=False))
        else:
            joined.append(run)
    return joined


def _is_short(run: BlockRun) -> bool:
    """Return whether a run is data that the zeros before it should fill up to a part."""
    return not run.is_zero and run.length <= MIN_PART_SIZE - _WORTH_COMPOSING


class _Parts:
    """The parts that runs give: how many, and which.

    A gap may be *absorbed*: all of it goes into the assembled part of the data behind it, which
    saves its own parts and sends nothing more.
    """

    def __init__(self, runs: list[BlockRun], sizes: _Sizes, assemble: bool) -> None:
        self._runs, self._sizes, self._assemble = runs, sizes, assemble
        self._lengths = cache(lambda total: tuple(_zero_lengths(total, sizes)))
        data = (ceil_div(run.length, sizes.data) for run in runs if not run.is_zero)
        self._plain = sum(data)
        # By the index of its run: parts that a gap costs, and whether it could be absorbed.
        self._gaps: dict[int, int] = {}
        for index in (n for n, run in enumerate(runs) if run.is_zero):
            own = runs[index].length - self._lead(index)
            self._gaps[index] = len(self._lengths(own)) if own else 0
            self._plain += self._gaps[index]

    def _lead(self, gap: int) -> int:
        """Return how many zeros of a gap go into the assembled part of short data behind it."""
        last = len(self._runs) - 1
        if not self._assemble or gap + 1 >= last or not _is_short(self._runs[gap + 1]):
            return 0
        length = self._runs[gap].length
        return MIN_PART_SIZE if length >= 2 * MIN_PART_SIZE else length

    def plain(self) -> int:
        """Return how many parts there are if no gap is absorbed."""
        return self._plain

    def _first_piece(self, index: int) -> int:
        """Return the length of the first part of a run of data, without zeros before it."""
        run = self._runs[index]
        return next(length for _, length in _even(run.start, run.length, self._sizes.data))

    def _absorbable(self) -> list[int]:
        """Return the gaps that could be absorbed and save a part by it, the shortest first."""
        if not self._assemble:
            return []
        found = [
            index
            for index, parts in self._gaps.items()
            if parts and index + 1 < len(self._runs)
            and self._runs[index].length <= min(self._sizes.odd, self._sizes.zeros)
            and self._runs[index].length + self._first_piece(index + 1) <= MAX_PART_SIZE
        ]  # fmt: skip
        return sorted(found, key=lambda index: self._runs[index].length)

    def least(self) -> int:
        """Return how many parts there are if all gaps are absorbed that can be."""
        return self._plain - sum(self._gaps[index] for index in self._absorbable())

    def absorbed_for(self, most: int) -> frozenset[int] | None:
        """Return the shortest gaps to absorb for `most` parts; None if that is not enough."""
        left, absorbed = self._plain, []
        for index in self._absorbable():
            if left <= most:
                break
            absorbed.append(index)
            left -= self._gaps[index]
        return frozenset(absorbed) if left <= most else None

    def cut(self, absorbed: frozenset[int]) -> Iterator[PlannedPart]:
        """Yield the parts."""
        for number, (start, length, zeros) in enumerate(self._pieces(absorbed), 1):
            yield PlannedPart(number, start, length, zeros)

    def _pieces(self, absorbed: frozenset[int]) -> Iterator[tuple[int, int, int]]:
        """Yield offset, length and zeros of each part."""
        for index, run in enumerate(self._runs):
            if run.is_zero:
                position = run.start
                own = 0 if index in absorbed else run.length - self._lead(index)
                for length in self._lengths(own) if own else ():
                    yield position, length, length
                    position += length
                continue
            before = index - 1
            lead = self._runs[before].length if before in absorbed else 0
            if index and not lead:
                lead = self._lead(before)
            for start, length in _even(run.start, run.length, self._sizes.data):
                yield start - lead, length + lead, lead
                lead = 0


def _even(start: int, total: int, longest: int) -> Iterator[tuple[int, int]]:
    """Yield start and length of pieces that are equally long, but for whole grains."""
    pieces, grains = ceil_div(total, longest), ceil_div(total, _GRAIN)
    for piece in range(pieces):
        first = grains * piece // pieces * _GRAIN
        stop = min(total, grains * (piece + 1) // pieces * _GRAIN)
        yield start + first, stop - first


def _zero_lengths(total: int, sizes: _Sizes) -> Iterator[int]:
    """Yield the lengths of the parts that `total` zeros are cut into.

    The long ones are those whose MD5 is known in advance (`store.md5_of_zeros`).
    """
    while total > sizes.odd:
        for length in ZERO_LENGTHS:
            rest = total - length
            if length <= sizes.zeros and (rest == 0 or rest >= MIN_PART_SIZE):
                break
        yield length
        total -= length
    if total:
        yield total


class Growth(NamedTuple):
    """One step of growing: an object of `size` bytes from copies of the one before it."""

    size: int  # bytes
    copies: tuple[int, ...]  # lengths in bytes; each is copied from the start of the one before


def plan_growth(size: int) -> tuple[int, tuple[Growth, ...]]:
    """Return the seed's size and the steps that grow it into a zero object of `size` bytes."""
    seed = min(size, MIN_PART_SIZE)
    steps, current = [], seed
    while current < size:
        target = min(size, current * _GROWTH)
        full, rest = divmod(target, current)
        steps.append(Growth(target, (current,) * full + ((rest,) if rest else ())))
        current = target
    return seed, tuple(steps)
