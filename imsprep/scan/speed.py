"""Speed: figures with their spread, and a file that is brought into the page cache or out of it.

    cold      dropped from the page cache before each run, and looked after
    cached    read before the runs, and looked after

What a disk itself keeps in memory, or a virtual machine's host, cannot be dropped from here.
"""

from __future__ import annotations

import contextlib
import os
import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

from imsprep.image.file import RawImage
from imsprep.scan.probe import Range, without_readahead
from imsprep.units import MIB, format_size, round_up

COLD, CACHED = "cold", "cached"

_LOOKS = 32  # pages, spread evenly, from which it is judged where a file's ranges lie
_MOST_LEFT = 0.5  # share of such pages in what counts as cold
_PIECE = 2 * MIB  # the largest that a page cache holds as one: a huge page
_STEP = 1 * MIB  # bytes read at once, in order

Clock = Callable[[], float]  # seconds
Progress = Callable[[int], None]


class Spread(NamedTuple):
    """The least, the median and the most of some values."""

    min: float
    median: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of one value or more."""
        return cls(min(values), statistics.median(values), max(values))

    def times(self, factor: float) -> Spread:
        """Return the spread of all values times a factor that is not negative."""
        return Spread(*(value * factor for value in self))

    def as_dict(self) -> dict[str, float]:
        """Return plain values for JSON."""
        return {name: float(f"{value:.4g}") for name, value in self._asdict().items()}

    def shown(self, show: Callable[[float], str]) -> str:
        """Write the median, with the least and the most behind it."""
        return f"{show(self.median)} ({show(self.min)} to {show(self.max)})"


def rate(bytes_per_s: float) -> str:
    """Write a rate for a person: `1.9 GiB/s`."""
    return f"{format_size(int(bytes_per_s))}/s"


def seconds(value: float) -> str:
    """Write a time for a person: `8.2 ms`, `0.25 s`, `40 min`."""
    if value < 0.1:
        return f"{value * 1000:.3g} ms"
    if value >= 600:
        return f"{value / 60:.3g} min" if value < 36_000 else f"{value / 3600:.3g} h"
    return f"{value:.3g} s"


def in_cache(image: RawImage, ranges: Sequence[Range]) -> float | None:
    """Return which share of ranges lies in the page cache, by a few of their pages.

    None if this platform or this file system cannot tell. There is at least one range.
    """
    size = sum(stop - start for start, stop in ranges)
    wanted = [size * look // _LOOKS for look in range(_LOOKS)]
    places, passed = [], 0
    for start, stop in ranges:
        while wanted and wanted[0] < passed + stop - start:
            places.append(start + wanted.pop(0) - passed)
        passed += stop - start
    try:
        return sum(_is_cached(image.fileno(), place) for place in places) / len(places)
    except (AttributeError, OSError):
        return None


def make_cold(image: RawImage, ranges: Sequence[Range]) -> bool:
    """Drop ranges from the page cache; return whether they are known to be gone, by and large."""
    with contextlib.suppress(OSError):  # what is not yet on the disk cannot be dropped
        os.fsync(image.fileno())
    _forget(image, ranges)
    with without_readahead(image):
        share = in_cache(image, ranges)
    # Where room was reserved and never written, zeros are read without the disk at any time.
    if gone := share is not None and share < _MOST_LEFT:
        _forget(image, ranges)  # a look may have brought its page in
    return gone


def make_cached(image: RawImage, ranges: Sequence[Range], progress: Progress) -> bool:
    """Read ranges into the page cache; return whether all of them are there, as far as is known."""
    for start, stop in ranges:
        read_in_order(image, start, stop, progress)
    return in_cache(image, ranges) in (1, None)


def read_in_order(image: RawImage, start: int, stop: int, progress: Progress) -> None:
    """Read a range as any program does that copies a file."""
    buffer = memoryview(bytearray(_STEP))
    for place in range(start, stop, _STEP):
        length = min(_STEP, stop - place)
        image.pread_into(place, buffer[:length])
        progress(length)


def _is_cached(file: int, place: int) -> bool:
    """Return whether a byte can be read without the disk; raises OSError if that is not known."""
    try:
        return os.preadv(file, [bytearray(1)], place, os.RWF_NOWAIT) == 1
    except BlockingIOError:
        return False


def _forget(image: RawImage, ranges: Sequence[Range]) -> None:
    for start, stop in ranges:
        # The kernel keeps what it holds as one piece if a part of it is outside of the range.
        first, last = start // _PIECE * _PIECE, round_up(stop, _PIECE)
        with contextlib.suppress(AttributeError, OSError):
            os.posix_fadvise(image.fileno(), first, last - first, os.POSIX_FADV_DONTNEED)
