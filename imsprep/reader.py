"""The reading process of a scan: says which blocks in the ranges it is sent hold data.

`readers` starts it without `site` and without the package: it imports only what it needs, so that
it works within a few milliseconds. It may die at any moment without harm: a file
that is cut short while it is mapped kills whoever touches it, and that must not be the scan.

A range that is in the page cache is mapped and compared where it lies. Any other is read past the
cache (O_DIRECT) where that is known to work, or through it and dropped again.

    task    COUNT, then as many RANGEs: start and stop
    answer  COUNT, then as many BLOCKs: the numbers of those that hold data
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import struct
import sys
from collections.abc import Iterator

COUNT = struct.Struct("=q")
RANGE = struct.Struct("=qq")
BLOCK = struct.Struct("=q")

PAGE = mmap.PAGESIZE
WINDOW = 16 << 20  # bytes mapped or read ahead at once
BUFFER = 4 << 20  # bytes read at once past the page cache

_STRIDE = 64  # bytes; a range of equal strides, the first of them zeros, is zeros
_ZEROS = bytes(PAGE)
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4  # <linux/prctl.h>
_SYS_CACHESTAT = 451  # <asm-generic/unistd.h>, which these machines use:
_CACHESTAT_MACHINES = ("x86_64", "aarch64", "riscv64", "ppc64le", "s390x")
_SHORTEST = 256  # cached pages; a shorter run is read again with its neighbours
_SIGKILL = 9  # importing `signal` takes as long as all the rest

_libc = ctypes.CDLL(None)
_mmap, _munmap, _mincore = _libc.mmap, _libc.munmap, _libc.mincore
_memcmp, _syscall = _libc.memcmp, _libc.syscall
_mmap.restype = ctypes.c_void_p
_mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
_munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p)
_memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_MAP_FAILED = ctypes.c_void_p(-1).value


def is_zero(address: int, length: int) -> bool:
    """Say whether this much memory is zero; stops at the first byte that is not."""
    if length <= len(_ZEROS):
        return not _memcmp(address, _ZEROS, length)
    # Comparing it with itself, a little further on, reads it only once.
    return not _memcmp(address, _ZEROS, _STRIDE) and not _memcmp(
        address, address + _STRIDE, length - _STRIDE
    )


class Reader:
    """Finds the blocks of a file that hold data."""

    def __init__(self, file: int, *, block_size: int, past_cache: bool, keep_cache: bool) -> None:
        self._file, self._block_size = file, block_size
        self._direct = _open_direct(file) if past_cache else -1
        self._drops = not keep_cache
        self._buffer = mmap.mmap(-1, BUFFER)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._buffer))
        self._found: set[int] = set()

    def blocks_with_data(self, ranges: list[tuple[int, int]]) -> list[int]:
        """Return the blocks in these ranges that hold data; raises OSError, EOFError."""
        self._found = set()
        for start, stop in ranges:
            while start < stop:
                edge = min(stop, start // WINDOW * WINDOW + WINDOW)
                self._look_at(start, edge)
                start = edge
        return sorted(self._found)

    def _look_at(self, start: int, stop: int) -> None:
        """Look at a range within one window: map what is in the page cache, read the rest."""
        base = start // PAGE * PAGE
        length = stop - base
        address = _mmap(None, length, mmap.PROT_READ, mmap.MAP_SHARED, self._file, base)
        if address == _MAP_FAILED:
            self._read(start, stop)
            return
        try:
            # What goes through the cache must be told to the page, to be dropped again.
            shortest = _SHORTEST if self._direct >= 0 else 1
            for first, last, cached in _runs(self._file, base, length, address, shortest):
                low, high = max(start, base + first), min(stop, base + last)
                if cached:
                    self._compare(low, high, address + low - base)
                else:
                    self._read(low, high)
                    if self._drops and self._direct < 0:
                        _advise(self._file, base + first, base + last, "POSIX_FADV_DONTNEED")
        finally:
            _munmap(address, length)

    def _compare(self, start: int, stop: int, address: int) -> None:
        """Note the blocks of a range that hold data, by halving it; its bytes lie at `address`."""
        if is_zero(address, stop - start):
            return
        first, last = start // self._block_size, (stop - 1) // self._block_size
        if first == last:
            self._found.add(first)
            return
        middle = (first + last + 1) // 2 * self._block_size
        self._compare(start, middle, address)
        self._compare(middle, stop, address + middle - start)

    def _read(self, start: int, stop: int) -> None:
        """Read a range piece by piece and compare it; blocks known to hold data are left out."""
        if self._direct < 0:
            _advise(self._file, start, stop, "POSIX_FADV_WILLNEED")
        position = start
        while position < stop:
            block = position // self._block_size
            if block in self._found:
                position = (block + 1) * self._block_size
                continue
            base = position // PAGE * PAGE
            done = base + self._fill(base, min(BUFFER, stop - base))
            if done <= position:
                raise EOFError(position)
            self._compare(position, min(done, stop), self._address + position - base)
            position = done

    def _fill(self, offset: int, length: int) -> int:
        """Read into the buffer; return the number of bytes, 0 behind the end of the file."""
        view = memoryview(self._buffer)[: -(-length // PAGE) * PAGE]
        if self._direct >= 0:
            try:
                return os.preadv(self._direct, [view], offset)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                self._direct = -1  # it wants another alignment: go through the cache
        return os.preadv(self._file, [view], offset)


def _open_direct(file: int) -> int:
    """Open the same file for reading past the page cache; -1 where that cannot be done."""
    try:
        return os.open(f"/proc/self/fd/{file}", os.O_RDONLY | os.O_DIRECT)
    except (OSError, AttributeError):
        return -1


def _runs(
    file: int, base: int, length: int, address: int, shortest: int
) -> list[tuple[int, int, bool]]:
    """Return start, stop (in the mapping) and whether it is in the page cache, run by run."""
    pages = -(-length // PAGE)
    count = _count_cached(file, base, length)
    if count == pages:
        return [(0, length, True)]
    vector = ctypes.create_string_buffer(pages)
    if count == 0 or _mincore(address, length, vector):
        return [(0, length, False)]
    runs = list(_page_runs(vector.raw, shortest))
    if runs == [(0, pages, True)] and (count is not None or not _is_cached(file, base)):
        # Of another user's file `mincore` tells nothing: it calls every page cached.
        return [(0, length, False)]
    return [(first * PAGE, min(last * PAGE, length), cached) for first, last, cached in runs]


def _count_cached(file: int, base: int, length: int) -> int | None:
    """Return how many pages of a range are in the page cache; None if the kernel cannot tell.

    cachestat(2) is new in Linux 6.5, has no wrapper in libc and looks at folios, not at each page.
    """
    if os.uname().machine not in _CACHESTAT_MACHINES:
        return None
    counts = (ctypes.c_uint64 * 5)()  # cached, dirty, writeback, evicted, recently evicted
    span = (ctypes.c_uint64 * 2)(base, length)
    failed = _syscall(_SYS_CACHESTAT, file, ctypes.byref(span), ctypes.byref(counts), 0)
    return None if failed else counts[0]


def _is_cached(file: int, offset: int) -> bool:
    """Say whether a byte can be read without the disk."""
    try:
        return os.preadv(file, [bytearray(1)], offset, os.RWF_NOWAIT) == 1
    except BlockingIOError:
        return False
    except (OSError, AttributeError):
        return True  # nobody knows: believe `mincore`


def _page_runs(resident: bytes, shortest: int) -> Iterator[tuple[int, int, bool]]:
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


def _advise(file: int, start: int, stop: int, advice: str) -> None:
    try:
        os.posix_fadvise(file, start, stop - start, getattr(os, advice))
    except (OSError, AttributeError):
        return  # only a hint


def _die_with(parent: int) -> None:
    """End when the parent ends, however it ends, and leave no core file."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
        _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def main() -> None:
    """Answer tasks from stdin on stdout until it is closed; end at the first error.

    Which error it was is found out by whoever does the task again.
    """
    file, block_size, past_cache, keep_cache, parent = map(int, sys.argv[1:])
    reader = Reader(
        file, block_size=block_size, past_cache=bool(past_cache), keep_cache=bool(keep_cache)
    )
    _die_with(parent)
    tasks, answers = open(0, "rb"), open(1, "wb")  # noqa: SIM115 - open as long as we live
    while head := tasks.read(COUNT.size):
        ranges = list(RANGE.iter_unpack(tasks.read(COUNT.unpack(head)[0] * RANGE.size)))
        blocks = reader.blocks_with_data(ranges)
        answers.write(COUNT.pack(len(blocks)) + struct.pack(f"={len(blocks)}q", *blocks))
        answers.flush()
