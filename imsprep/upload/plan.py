"""The upload as a plan: which parts an object is made of, and how zeros get there unsent.

An object store has no holes, but it copies parts on its own side. A plan covers every byte of the
object once, in order, with

- *data parts*, which travel: 5 MiB to 5 GiB each (the last may be shorter);
- *zero parts*, which the store copies from a *zero object*, itself grown on the store's side from
  a seed of 5 MiB (`plan_growth`) and removed when the upload is done;
- *composed parts*, for data that is too short for a part: zeros in front of it fill the part up and
  are copied, so that only the data travels (`composing`).

A run of zeros that is too short for a part of its own travels as data. There are never more than
10,000 parts: sizes double until they fit. Pure: a plan is a value; `transfer` carries it out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from imsprep.errors import UsageError
from imsprep.image.blockmap import BlockMap
from imsprep.store.contract import MAX_PART_NUMBER, MAX_PART_SIZE, MIN_PART_SIZE
from imsprep.units import KIB, MIB, ceil_div, counted, exact_size

# Bytes of the blocks in which a file is scanned for a plan: smaller than those of bitmap and
# container, so that less zeros travel along with data; the scan costs the same.
SCAN_BLOCK = 512 * KIB
# A data part is held in memory while it is sent; four at a time must stay well below 300 MiB.
DEFAULT_PART_SIZE = 32 * MIB
# Growing the zero object costs the store its size once; a smaller one costs more requests. With
# 1/1024 of all zeros neither matters.
_MIN_ZERO_SIZE = 64 * MIB
_ZERO_SHARE = 1024
_GROWTH = 16  # copies in one step of growing
# A composed part costs five requests more than a data part; less than this is not worth them.
_WORTH_COMPOSING = 1 * MIB
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
        """Say whether nothing of it is sent."""
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


class Run(NamedTuple):
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

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, every part among them."""
        return {
            "size": self.size,
            "sent": self.sent,
            "copied": self.copied,
            "digest": self.digest,
            "parts": [part._asdict() for part in self.parts],
        }

    def lines(self) -> list[str]:
        """Write each part on a line: number, offset, length, kind."""
        return [f"{p.number:6} {p.offset:15} {p.length:12} {p.kind}" for p in self.parts]

    def __str__(self) -> str:
        zero_parts = sum(part.is_zero for part in self.parts)
        return (
            f"{exact_size(self.size)} in {counted(len(self.parts), 'part')}:"
            f" {exact_size(self.sent)} to send in {len(self.parts) - zero_parts},"
            f" {exact_size(self.copied)} of zeros to copy in {zero_parts}"
        )


def plan_parts(
    block_map: BlockMap, *, copy_zeros: bool = True, part_size: int = DEFAULT_PART_SIZE
) -> PartPlan:
    """Plan the upload of a disk whose empty blocks are zeros.

    `part_size` is the largest data part, in bytes, as long as 10,000 parts are enough. With
    `copy_zeros` false everything is sent. Raises UsageError for a size that cannot be uploaded.
    """
    runs = [
        Run(offset, offset + length, not extent.allocated and copy_zeros)
        for extent in block_map.extents()
        for offset, length in [block_map.byte_range(extent.start, extent.count)]
    ]
    return _plan(block_map.size, runs, part_size)


def plan_plain(size: int, *, part_size: int = DEFAULT_PART_SIZE) -> PartPlan:
    """Plan the upload of a file that is sent as it is, such as a container or a bitmap file."""
    return _plan(size, [Run(0, size, False)], part_size)


def _plan(size: int, runs: list[Run], part_size: int) -> PartPlan:
    if not 0 < size <= MAX_OBJECT_SIZE:
        raise UsageError(f"cannot upload {exact_size(size)}: expected 1 to {MAX_OBJECT_SIZE} bytes")
    if not 2 * MIN_PART_SIZE <= part_size <= MAX_PART_SIZE:
        raise UsageError(
            f"the part size is {exact_size(part_size)}: expected {exact_size(2 * MIN_PART_SIZE)} to"
            f" {exact_size(MAX_PART_SIZE)}"
        )
    zeros = sum(run.length for run in runs if run.is_zero)
    zero_size = _MIN_ZERO_SIZE
    while zero_size < min(zeros // _ZERO_SHARE, MAX_PART_SIZE):
        zero_size = min(2 * zero_size, MAX_PART_SIZE)
    shortest = MIN_PART_SIZE  # zeros in a shorter run travel
    while True:
        joined = _joined(runs, shortest)
        count = sum(ceil_div(r.length, zero_size if r.is_zero else part_size) for r in joined)
        if count <= MAX_PART_NUMBER:
            return PartPlan(size, tuple(_cut(joined, part_size, zero_size)))
        if len(joined) > MAX_PART_NUMBER // 2 or part_size == MAX_PART_SIZE:
            shortest *= 2
        else:
            part_size = min(2 * part_size, MAX_PART_SIZE)
            zero_size = min(2 * zero_size, MAX_PART_SIZE)


def _joined(runs: Iterable[Run], shortest: int) -> list[Run]:
    """Return runs that can be parts: no zeros below `shortest`, no short data but after zeros.

    Zeros become data where they are too few, or where data before them needs filling up.
    """
    joined: list[Run] = []
    for run in runs:
        if joined and not joined[-1].is_zero:
            before = joined[-1]
            wanted = before.stop
            if not (len(joined) > 1 and _is_composed(before)):
                # Data that is too short for a part takes the first of the zeros behind it.
                wanted = max(before.stop, min(before.start + MIN_PART_SIZE, run.stop))
            if not run.is_zero or run.stop - wanted < shortest:
                wanted = run.stop
            joined[-1] = before._replace(stop=wanted)
            if wanted < run.stop:
                joined.append(run._replace(start=wanted))
        elif run.is_zero and run.length < shortest:
            joined.append(run._replace(is_zero=False))
        else:
            joined.append(run)
    return joined


def _is_composed(run: Run) -> bool:
    """Say whether a run is data that the zeros before it should fill up to a part."""
    return not run.is_zero and run.length <= MIN_PART_SIZE - _WORTH_COMPOSING


def _cut(runs: list[Run], part_size: int, zero_size: int) -> Iterator[PlannedPart]:
    """Cut runs into parts that are equally long but for rounding, so that none is too short."""
    number = 1
    for run, before, after in zip(runs, [None, *runs], [*runs[1:], None], strict=False):
        if before and after and _is_composed(run):
            lead = _lead(before)
            yield PlannedPart(number, run.start - lead, lead + run.length, lead)
            number += 1
            continue
        # The zeros at the end go into the composed part behind them; the last part may be short.
        behind = after is not None and after is not runs[-1] and _is_composed(after)
        stop = run.stop - _lead(run) if run.is_zero and behind else run.stop
        for start, end in _pieces(run.start, stop, zero_size if run.is_zero else part_size):
            yield PlannedPart(number, start, end - start, end - start if run.is_zero else 0)
            number += 1


def _lead(zeros: Run) -> int:
    """Return how many of these zeros go into a composed part; the rest is a part or nothing."""
    return MIN_PART_SIZE if zeros.length >= 2 * MIN_PART_SIZE else zeros.length


def _pieces(start: int, stop: int, longest: int) -> Iterator[tuple[int, int]]:
    pieces = ceil_div(stop - start, longest)
    for piece in range(pieces):
        yield (
            start + (stop - start) * piece // pieces,
            start + (stop - start) * (piece + 1) // pieces,
        )


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
