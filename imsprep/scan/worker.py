"""The reading process of a scan: says which blocks in the ranges it is sent hold data.

`pool` starts it without `site`, so that it is at work soon. It may die at any moment without
harm: a file that is truncated while it is mapped kills the process that reads it, and that must not
be the scan.

A range that is in the page cache is mapped and looked at where it lies, if the kernel maps it in
large pieces, as it does with files that were read; where it maps page by page, as with most that
were written, copying is faster, into a buffer that stays in the processor's cache. Any other range
is read past the cache (O_DIRECT) where that is known to work, or through it and dropped again.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import resource
import sys

import numpy as np
from numpy.typing import NDArray

from imsprep.scan import protocol
from imsprep.system import pagecache
from imsprep.system.pagecache import PAGE

WINDOW = 6 << 20  # bytes mapped at once; of four readers, all processes stay below 150 MiB
READ = 4 << 20  # bytes read at once
COPIED = 2 << 20  # bytes copied at once; the processor's cache keeps them until they are looked at

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4  # <linux/prctl.h>
POOR = 256 << 10  # bytes mapped by one page fault, below which copying is faster
AGAIN = 16  # windows after which mapping is tried again
SHORTEST = 256  # cached pages; a shorter run is read again with its neighbours
_SIGKILL = 9  # importing `signal` takes as long as all the rest

_libc = ctypes.CDLL(None)

Content = NDArray[np.bool_]  # bytes of the image, shape (bytes,): each is true unless it is zero


class Reader:
    """Finds the blocks of a file that hold data."""

    def __init__(self, file: int, *, block_size: int, past_cache: bool, keep_cache: bool) -> None:
        self._file, self._block_size = file, block_size
        self._direct = _open_direct(file) if past_cache else None
        self._drops = not keep_cache
        self._buffer: Content = np.frombuffer(mmap.mmap(-1, READ), np.bool_)  # starts at a page
        self._found: set[int] = set()
        self._copies = 0  # so many windows more are copied

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
        base = start // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
        try:
            mapping = mmap.mmap(
                self._file, stop - base, mmap.MAP_SHARED, mmap.PROT_READ, offset=base
            )
        except (OSError, ValueError):  # it cannot be mapped, or is shorter than it was
            self._read(start, stop)
            return
        mapped: Content = np.frombuffer(mapping, np.bool_)
        # What goes through the cache must be read page by page, to be dropped again.
        shortest = 1 if self._direct is None else SHORTEST
        for first, last, cached in pagecache.runs(
            self._file, base, mapped.ctypes.data, len(mapped), shortest
        ):
            low, high = max(start, base + first), min(stop, base + last)
            if cached and self._copies > 0:
                self._copies -= 1
                self._copy(low, high)
            elif cached:
                before = _faults()
                self._compare(low, mapped[low - base : high - base])
                self._copies = AGAIN if (_faults() - before) * POOR > high - low else 0
            else:
                self._read(low, high)
                if self._drops and self._direct is None:
                    pagecache.advise(self._file, base + first, base + last, "POSIX_FADV_DONTNEED")

    def _compare(self, start: int, content: Content) -> None:
        """Note the blocks that hold data, given what the image holds from `start` on.

        `any` goes over zeros as fast as memory delivers them, and leaves a block at its first byte
        that is not zero.
        """
        size = self._block_size
        head = min(-start % size, len(content))  # bytes of a block that began earlier
        first, rows = (start + head) // size, (len(content) - head) // size
        blocks = content[head : head + rows * size].reshape(rows, size)
        self._found.update((np.flatnonzero(blocks.any(axis=1)) + first).tolist())
        if content[:head].any():
            self._found.add(start // size)
        if content[head + rows * size :].any():
            self._found.add(first + rows)

    def _copy(self, start: int, stop: int) -> None:
        """Compare a range that is in the page cache by copying it, piece by piece."""
        position = start
        while (position := self._undecided(position)) < stop:
            view = self._buffer.data[: min(COPIED, stop - position)]
            done = os.preadv(self._file, [view], position)
            if not done:
                raise EOFError(position)
            self._compare(position, self._buffer[:done])
            position += done

    def _undecided(self, position: int) -> int:
        """Return where to go on: behind the block, if that is known to hold data."""
        block = position // self._block_size
        return (block + 1) * self._block_size if block in self._found else position

    def _read(self, start: int, stop: int) -> None:
        """Read a range piece by piece and compare it."""
        if self._direct is None:
            pagecache.advise(self._file, start, stop, "POSIX_FADV_WILLNEED")
        position = start
        while (position := self._undecided(position)) < stop:
            base = position // PAGE * PAGE
            done = base + self._fill(base, min(READ, stop - base))
            if done <= position:
                raise EOFError(position)
            self._compare(position, self._buffer[position - base : min(done, stop) - base])
            position = done

    def _fill(self, offset: int, length: int) -> int:
        """Read into the buffer; return the number of bytes, 0 behind the end of the file."""
        view = self._buffer.data[: -(-length // PAGE) * PAGE]
        if self._direct is not None:
            try:
                return os.preadv(self._direct, [view], offset)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                self._direct = None  # it wants another alignment: go through the cache
        return os.preadv(self._file, [view], offset)


def _faults() -> int:
    """Return how often this process had to have memory mapped that was there."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def _open_direct(file: int) -> int | None:
    """Open the same file for reading past the page cache; None where that cannot be done."""
    try:
        return os.open(f"/proc/self/fd/{file}", os.O_RDONLY | os.O_DIRECT)
    except (OSError, AttributeError):
        return None


def _die_with(parent: int) -> None:
    """End when the parent ends, however it ends, and leave no core file."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL)
        _libc.prctl(_PR_SET_DUMPABLE, 0)
    if os.getppid() != parent:
        os._exit(0)


def main() -> None:
    """Answer tasks from stdin on stdout until it is closed; end at the first error.

    Which error it was is found when the task is done again.
    """
    file, block_size, past_cache, keep_cache, parent = map(int, sys.argv[1:])
    reader = Reader(
        file, block_size=block_size, past_cache=bool(past_cache), keep_cache=bool(keep_cache)
    )
    _die_with(parent)
    questions, answers = open(0, "rb"), open(1, "wb")  # noqa: SIM115 - open as long as we live
    while (ranges := protocol.read_task(questions.read)) is not None:
        answers.write(protocol.answer(reader.blocks_with_data(ranges)))
        answers.flush()
