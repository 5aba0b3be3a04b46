"""Probe: do these ranges of an image hold data? Read here, and the page cache left alone.

For little data: probes of one page, and images of a few MiB. A range that is in the page cache is
read from there at once. The others are asked for together, so that the disk serves many at a time,
then read, and dropped from the cache again. What the platform lacks is done without.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from imsprep.image.file import RawImage
from imsprep.system.pagecache import advise, read_cached
from imsprep.units import KIB

PAGE = 4 * KIB  # what a probe reads, and the least that a page cache holds
LONGEST = 256 * KIB  # a range that is read in this process: it fits into the CPU's own cache
_ZEROS = bytes(LONGEST)

Range = tuple[int, int]  # start and stop, bytes
T = TypeVar("T")


def cut(ranges: Iterable[Range], size: int) -> Iterator[Range]:
    """Cut ranges at the multiples of `size`."""
    for start, stop in ranges:
        edge = start // size * size + size
        while edge < stop:
            yield start, edge
            start, edge = edge, edge + size
        if start < stop:
            yield start, stop


def batched(values: Iterable[T], count: int, *, first: int | None = None) -> Iterator[list[T]]:
    """Yield lists of up to `count` values; with `first`, so many at first, and soon more."""
    iterator, size = iter(values), min(first or count, count)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
        size = min(count, 4 * size)


def is_zero(data: bytes) -> bool:
    """Return whether all bytes are zero; of LONGEST bytes at most."""
    return data == _ZEROS[: len(data)]


def holds_data(image: RawImage, ranges: Sequence[Range], keep_cache: bool) -> list[bool]:
    """Return for each range, of LONGEST bytes at most, whether a byte of it is not zero.

    Raises ReadError, and ImageChangedError if the image has become shorter.
    """
    file = image.fileno()
    cache = _Cache(file)
    found = cache.holds_data(ranges)
    cold = [number for number, known in enumerate(found) if known is None]
    for number in cold:
        advise(file, *ranges[number], "POSIX_FADV_WILLNEED")
    for number in cold:
        start, stop = ranges[number]
        found[number] = not is_zero(image.pread(start, stop - start))
    if cache.can_tell and not keep_cache:
        for start, stop in (ranges[number] for number in cold):
            # Whole pages: the kernel keeps a page of which only a part is to be dropped.
            advise(file, start // PAGE * PAGE, -(-stop // PAGE) * PAGE, "POSIX_FADV_DONTNEED")
    return [bool(known) for known in found]


class _Cache:
    """The page cache of a file."""

    def __init__(self, file: int) -> None:
        self._file = file
        self.can_tell = hasattr(os, "preadv") and hasattr(os, "RWF_NOWAIT")

    def holds_data(self, ranges: Iterable[Range]) -> list[bool | None]:
        """Return for each range whether it has a byte that is not zero; None if not cached."""
        found = list[bool | None]()
        buffer, zeros = bytearray(), b""
        for start, stop in ranges:
            if len(zeros) != stop - start:
                zeros = bytes(stop - start)
                buffer = bytearray(zeros)
            known = None
            if self.can_tell:
                try:
                    if read_cached(self._file, buffer, start) == len(zeros):
                        known = buffer != zeros
                except BlockingIOError:
                    pass
                except OSError:
                    self.can_tell = False  # the file system does not know, as tmpfs
            found.append(known)
        return found
