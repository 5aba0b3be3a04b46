"""The page cache: what of a file is in memory, what is read from there, and what is dropped.

What a platform or a file system cannot tell or do is done without. What a disk itself keeps in
memory, or a virtual machine's host, cannot be dropped from here.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import sys
from collections.abc import Iterator, Sequence

PAGE = mmap.PAGESIZE

_SYS_CACHESTAT = 451  # <asm-generic/unistd.h>, which these machines use:
CACHESTAT_MACHINES = ("x86_64", "aarch64", "riscv64", "ppc64le", "s390x")
_LOOKS = 32  # pages, spread evenly, from which is known where a file's ranges lie
_MOST_LEFT = 0.5  # share of such pages in what counts as cold
_PIECE = 2 << 20  # bytes; the largest that a page cache holds as one: a huge page

if os.name == "posix":  # Windows maps nothing for a scan, and does not ask
    _libc = ctypes.CDLL(None)
    _mincore, _syscall = _libc.mincore, _libc.syscall
    _mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p)

Range = tuple[int, int]  # start and stop, bytes


def advise(file: int, start: int, stop: int, advice: str) -> None:
    """Give the kernel a hint, where it takes any: `POSIX_FADV_DONTNEED` drops a range."""
    with contextlib.suppress(OSError, AttributeError):
        os.posix_fadvise(file, start, stop - start, getattr(os, advice))


@contextlib.contextmanager
def without_readahead(file: int) -> Iterator[None]:
    """Let reads of a file bring in what they ask for and no more."""
    advise(file, 0, 0, "POSIX_FADV_RANDOM")
    try:
        yield
    finally:
        advise(file, 0, 0, "POSIX_FADV_NORMAL")


def read_cached(file: int, buffer: bytearray, offset: int) -> int:
    """Read what is in memory; return the bytes that were read.

    Raises BlockingIOError where the disk would be needed, and another OSError or AttributeError
    where that cannot be determined, as on tmpfs. Linux begins to read what is missing, and gives it
    if it has come before the call ends, as it may on a busy machine.
    """
    return os.preadv(file, [buffer], offset, os.RWF_NOWAIT)


def is_cached(file: int, offset: int) -> bool | None:
    """Return whether a byte can be read without the disk; None if that cannot be determined."""
    try:
        return read_cached(file, bytearray(1), offset) == 1
    except BlockingIOError:
        return False
    except (OSError, AttributeError):
        return None


def in_cache(file: int, ranges: Sequence[Range]) -> float | None:
    """Return which share of ranges is in memory, by a few of their pages; None if not known.

    There is at least one range.
    """
    size = sum(stop - start for start, stop in ranges)
    wanted = [size * look // _LOOKS for look in range(_LOOKS)]
    places, passed = [], 0
    for start, stop in ranges:
        while wanted and wanted[0] < passed + stop - start:
            places.append(start + wanted.pop(0) - passed)
        passed += stop - start
    found = 0
    for place in places:
        cached = is_cached(file, place)
        if cached is None:
            return None
        found += cached
    return found / len(places)


def make_cold(file: int, ranges: Sequence[Range]) -> bool:
    """Drop ranges from memory; return whether they are known to be gone, by and large."""
    with contextlib.suppress(OSError):  # what is not yet on the disk cannot be dropped
        os.fsync(file)
    _forget(file, ranges)
    with without_readahead(file):
        share = in_cache(file, ranges)
    # Where room was reserved and never written, zeros are read without the disk at any time.
    if gone := share is not None and share < _MOST_LEFT:
        _forget(file, ranges)  # a look may have brought its page in
    return gone


def _forget(file: int, ranges: Sequence[Range]) -> None:
    for start, stop in ranges:
        # The kernel keeps what it holds as one piece if a part of it is outside of the range.
        advise(file, start // _PIECE * _PIECE, -(-stop // _PIECE) * _PIECE, "POSIX_FADV_DONTNEED")


def runs(
    file: int, base: int, address: int, length: int, shortest: int
) -> list[tuple[int, int, bool]]:
    """Return start, stop (in the mapping) and whether it is in the page cache, run by run.

    `length` bytes of a file from `base` on are mapped at `address`. A run of cached pages that is
    shorter than `shortest` counts as not cached.
    """
    pages = -(-length // PAGE)
    count = _count_cached(file, base, length)
    if count == pages:
        return [(0, length, True)]
    vector = ctypes.create_string_buffer(pages)
    if count == 0 or _mincore(address, length, vector):
        return [(0, length, False)]
    runs = list(page_runs(vector.raw, shortest))
    if runs == [(0, pages, True)] and (count is not None or is_cached(file, base) is False):
        # Of another user's file `mincore` tells nothing: it calls every page cached.
        return [(0, length, False)]
    return [(first * PAGE, min(last * PAGE, length), cached) for first, last, cached in runs]


def _count_cached(file: int, base: int, length: int) -> int | None:
    """Return how many pages of a range are in the page cache; None if the kernel cannot tell.

    cachestat(2) is new in Linux 6.5, has no wrapper in libc and looks at folios, not at each page.
    """
    # The number is Linux's: elsewhere it would be another call.
    if sys.platform != "linux" or os.uname().machine not in CACHESTAT_MACHINES:
        return None
    counts = (ctypes.c_uint64 * 5)()  # cached, dirty, writeback, evicted, recently evicted
    span = (ctypes.c_uint64 * 2)(base, length)
    failed = _syscall(_SYS_CACHESTAT, file, ctypes.byref(span), ctypes.byref(counts), 0)
    return None if failed else counts[0]


def page_runs(resident: bytes, shortest: int) -> Iterator[tuple[int, int, bool]]:
    """Yield first and behind-last page of each run; cached runs that are too short count as not."""
    start = 0
    while start < len(resident):
        cold = resident.find(b"\0", start)
        cold = len(resident) if cold < 0 else cold
        if cold > start:
            yield start, cold, True
        warm = resident.find(b"\1" * shortest, cold)
        warm = len(resident) if warm < 0 else warm
        if warm > cold:
            yield cold, warm, False
        start = warm
