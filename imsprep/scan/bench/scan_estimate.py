"""Estimate: how long the scan of an image will take, and its upload, from a sample of it.

The sample is scanned by the scan itself: an image of which it sees some *windows* only, a few
neighbouring blocks each, spread evenly over what is stored. There are as many windows as take half
a second, or all. Each round takes other ones, so that the spread tells how far to believe them. The
image is only read. Its windows are dropped from the page cache before, where that can be done.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imsprep.errors import UsageError, show_path
from imsprep.image.file import RawImage
from imsprep.image.formats import LIKE_RAW, check_raw, ends, identify, primary
from imsprep.options import EstimateOptions
from imsprep.progress import BENCH, counting
from imsprep.scan.bench.figures import (
    CACHED,
    COLD,
    Clock,
    Spread,
    rate,
    read_in_order,
    seconds,
)
from imsprep.scan.holes import TRUST, believes_holes
from imsprep.scan.probe import Range
from imsprep.scan.scan import BLOCK_SIZE, Coverage, scan
from imsprep.system.mounts import file_system
from imsprep.system.pagecache import make_cold
from imsprep.system.sparse import data_ranges
from imsprep.units import MIB, exact_size, format_size

_WINDOW = 4  # blocks
_FEWEST = 8  # windows in a round, if there are as many
ENOUGH_S = 0.5  # seconds; what is less says as much of the scan's start as of the disk
# Bytes read in order, to see what the disk delivers: no more, and with less it is not asked.
_IN_ORDER, _TOO_FEW = 256 * MIB, 8 * MIB


@dataclass(frozen=True)
class Estimate:
    """What is to be expected of one image. Sizes in bytes."""

    image: str
    file_system: str  # "" if unknown
    size: int
    stored: int  # holes left out, where they are believed
    extents: int
    cache: str  # cold or cached: how the samples were read
    runs: int
    sampled: int  # in one round, of what is stored
    probed: float  # share of the sample known by a page with data
    disk_bytes_per_s: Spread | None  # in order; None if no extent is long enough
    scan_s: Spread
    data_bytes: Spread  # in blocks that hold data
    bytes_per_s: float | None  # of the line

    @property
    def upload_s(self) -> Spread | None:
        """Seconds for the data alone, where a bandwidth is given."""
        return self.data_bytes.times(1 / self.bytes_per_s) if self.bytes_per_s else None

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        spreads = {**vars(self), "upload_s": self.upload_s}
        plain = {k: v.as_dict() if isinstance(v, Spread) else v for k, v in spreads.items()}
        return {**plain, "probed": round(self.probed, 4)}

    def __str__(self) -> str:
        """Write it line by line."""
        on = f", on {self.file_system}" if self.file_system else ""
        whole = "all of it" if self.sampled == self.stored else format_size(self.sampled)
        lines = [
            ("image", f"{self.image}, {exact_size(self.size)}{on}"),
            ("stored", f"{format_size(self.stored)} in {self.extents} extents"),
        ]
        if self.disk_bytes_per_s is not None:
            disk = f"{self.disk_bytes_per_s.shown(rate)}, read in order, {self.cache}"
            lines.append(("disk", disk))
        if self.sampled:
            known = f"{self.probed:.0%} of it probed, the rest read"
            lines.append(("sample", f"{whole}, {self.runs} times, {self.cache}; {known}"))
        lines.append(("scan", self.scan_s.shown(seconds)))
        lines.append(("data", self.data_bytes.shown(lambda size: format_size(round(size)))))
        if self.upload_s is not None and self.bytes_per_s is not None:
            at = f", its data alone, at {rate(self.bytes_per_s)}"
            lines.append(("upload", self.upload_s.shown(seconds) + at))
        return "\n".join(f"{name:8} {value}" for name, value in lines)


def estimate(path: Path, options: EstimateOptions, clock: Clock = time.perf_counter) -> Estimate:
    """Measure samples of an image and say what its scan will take; `clock` counts seconds.

    Raises ReadError, ImageChangedError, UsageError for an image in another format, and FormatError
    if it is empty or too large.
    """
    with RawImage.open(path) as image:
        _check_scanned(image)
        runs = options.runs
        sampling = _Sampling(image, clock, options)
        rounds = [sampling.round(number / runs) for number in range(runs)]
        disk = sampling.disk(runs)
        image.check_unchanged()
        return Estimate(
            image=show_path(path.name),
            file_system="" if image.is_device else file_system(image.fileno()),
            size=image.size,
            stored=sampling.stored,
            extents=sampling.extents,
            cache=COLD if sampling.cold else CACHED,
            runs=runs,
            sampled=round(sum(one.sampled for one in rounds) / runs),
            probed=sum(one.coverage.probed for one in rounds)
            / max(sum(one.sampled for one in rounds), 1),
            disk_bytes_per_s=disk,
            scan_s=Spread.of([sampling.listing_s + one.seconds * one.factor for one in rounds]),
            data_bytes=Spread.of([one.data_bytes * one.factor for one in rounds]),
            bytes_per_s=options.bandwidth,
        )


def _check_scanned(image: RawImage) -> None:
    """Raise UsageError for an image in a format that is packed without a scan."""
    found = primary(identify(*ends(image.pread, image.size), image.size))
    if found not in LIKE_RAW:
        raise UsageError(
            f"{show_path(image.path)} is {found}, and only a RAW image is scanned;"
            " `imsprep import --dry-run` estimates every format"
        )
    check_raw(image)


@dataclass(frozen=True)
class _Round:
    """One scan of some windows."""

    seconds: float
    sampled: int  # bytes
    factor: float  # by which the stored blocks are more than those of the windows
    data_bytes: int  # in blocks that hold data
    coverage: Coverage


class _Windows(RawImage):
    """An image of which the scan sees some ranges; it shares the other's file."""

    def __init__(self, image: RawImage, ranges: Iterable[Range]) -> None:
        super().__init__(image.path, image.fileno(), image.size)
        self._ranges = ranges

    def data(self) -> Iterator[Range]:
        """Yield the ranges, whatever else holds data."""
        return iter(self._ranges)


class _Sampling:
    """The stored blocks of an image, and how many windows of them take long enough to measure."""

    def __init__(self, image: RawImage, clock: Clock, options: EstimateOptions) -> None:
        self._image, self._clock = image, clock
        self._progress = counting(options.progress, BENCH, 0)
        trusting = replace(options, holes=TRUST, force_share=True)
        self._scanning = trusting.scanning(jobs=options.jobs)
        self._believed = believes_holes(image, options.holes)
        start = clock()
        self._list()
        self.listing_s = clock() - start
        self.cold = True  # until a range stays in the page cache
        self._count = min(_FEWEST, len(self._windows))
        while self._count < len(self._windows) and self.round(0.0).seconds < ENOUGH_S:
            self._count = min(self._count * 2, len(self._windows))

    def _list(self) -> None:
        """Find the blocks of which something is stored."""
        stored = np.zeros(-(-self._image.size // BLOCK_SIZE), dtype=np.bool_)
        self.stored = self.extents = 0
        self._longest: Range = (0, 0)
        for start, stop in self._stored_ranges(0, self._image.size):
            stored[start // BLOCK_SIZE : -(-stop // BLOCK_SIZE)] = True
            self.stored += stop - start
            self.extents += 1
            self._longest = max(self._longest, (start, stop), key=lambda r: r[1] - r[0])
        self._blocks = np.flatnonzero(stored)
        edges = np.arange(_WINDOW, len(self._blocks), _WINDOW)
        self._windows = np.split(self._blocks, edges) if len(self._blocks) else []

    def round(self, phase: float) -> _Round:
        """Scan as many windows as were found to be enough; `phase` 0 to 1 says which."""
        windows = self._windows
        offset = int(phase * len(windows))
        places = (np.arange(self._count) * len(windows) + offset) // max(self._count, 1)
        blocks = np.concatenate([self._blocks[:0], *(windows[place] for place in places)])
        ranges = list(self._ranges(blocks))
        self.cold = bool(ranges) and make_cold(self._image.fileno(), ranges) and self.cold
        start = self._clock()
        found = scan(_Windows(self._image, ranges), self._scanning, self._count_only)
        spent = self._clock() - start
        sampled = sum(stop - start for start, stop in ranges)
        self._progress(sampled)
        return _Round(
            spent,
            sampled,
            len(self._blocks) / max(len(blocks), 1),
            found.block_map.data_bytes,
            found.coverage,
        )

    def disk(self, runs: int) -> Spread | None:
        """Read the longest extent in order and return the rates; None if it is too short."""
        start, stop = self._longest
        stop = min(stop, start + _IN_ORDER)
        if stop - start < _TOO_FEW:
            return None
        rates = []
        for _ in range(runs):
            self.cold = make_cold(self._image.fileno(), [(start, stop)]) and self.cold
            before = self._clock()
            read_in_order(self._image, start, stop, self._progress)
            rates.append((stop - start) / max(self._clock() - before, 1e-9))
        return Spread.of(rates)

    def _ranges(self, blocks: NDArray[np.int64]) -> Iterator[Range]:
        """Yield what is stored of these blocks, neighbours together."""
        for block in np.split(blocks, np.flatnonzero(np.diff(blocks) != 1) + 1):
            if len(block):
                stop = min((int(block[-1]) + 1) * BLOCK_SIZE, self._image.size)
                yield from self._stored_ranges(int(block[0]) * BLOCK_SIZE, stop)

    def _stored_ranges(self, start: int, stop: int) -> Iterator[Range]:
        if not self._believed:
            yield start, stop
            return
        yield from data_ranges(self._image.fileno(), start, stop - start)

    def _count_only(self, count: int) -> None:
        self._progress(0)
