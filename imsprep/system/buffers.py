"""Buffers: large pieces of memory that are used again and again.

Memory that is new to a process is filled with zeros by the kernel, page by page, which may take
longer than filling it with data. Where it can, it is asked for large pages.
"""

from __future__ import annotations

import contextlib
import mmap


class Buffers:
    """Memory of one size at a time; may be called by several threads.

    The caller releases a buffer when nothing reads it any more, or forgets it: then it is freed
    with the last view of it, and not used again. No more is kept than was in use at once.
    """

    def __init__(self) -> None:
        self._size = 0
        self._free: list[mmap.mmap] = []

    def take(self, size: int) -> mmap.mmap:
        """Return so many bytes, with whatever they hold."""
        if size != self._size:
            self._size = size
            self._free.clear()
        with contextlib.suppress(IndexError):  # all are in use
            while True:
                memory = self._free.pop()
                if len(memory) == size:  # not one of another size that was released meanwhile
                    return memory
        return _new(size)

    def release(self, memory: mmap.mmap) -> None:
        """Take back what nothing reads any more."""
        if len(memory) == self._size:
            self._free.append(memory)


def _new(size: int) -> mmap.mmap:
    if not hasattr(mmap, "MAP_PRIVATE"):
        return mmap.mmap(-1, size)
    # By default it would be shared with children, and then of small pages.
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without large pages
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memory
