"""Speed: figures with their spread, and a file that is brought into the page cache or out of it.

    cold      dropped from the page cache before each run, and looked after
    cached    read before the runs, and looked after

What a disk itself keeps in memory, or a virtual machine's host, cannot be dropped from here.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

from imsprep.image.file import RawImage
from imsprep.scan.probe import Range
from imsprep.system.pagecache import in_cache
from imsprep.units import MIB, format_size

COLD, CACHED = "cold", "cached"

_STEP = 1 * MIB  # bytes read at once, in order

Clock = Callable[[], float]  # seconds
CountBytes = Callable[[int], None]


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


def make_cached(image: RawImage, ranges: Sequence[Range], progress: CountBytes) -> bool:
    """Read ranges into the page cache; return whether all of them are there, as far as is known."""
    for start, stop in ranges:
        read_in_order(image, start, stop, progress)
    return in_cache(image.fileno(), ranges) in (1, None)


def read_in_order(image: RawImage, start: int, stop: int, progress: CountBytes) -> None:
    """Read a range as any program does that copies a file."""
    buffer = memoryview(bytearray(_STEP))
    for place in range(start, stop, _STEP):
        length = min(_STEP, stop - place)
        image.pread_into(place, buffer[:length])
        progress(length)
