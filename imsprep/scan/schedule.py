"""Schedule: which ranges of a scan are looked at byte for byte, when, and by whom.

Little is read in this process, safely and without delay. More is given to the readers of `pool`,
as tasks. What a reader could not do, because the file is damaged, was cut short, or for no reason
that we know, is done again here, where an error has a name and an offset.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from bitarray import bitarray

from imsprep.image.file import RawImage
from imsprep.scan.probe import LONGEST, Range, batched, cut, holds_data
from imsprep.units import MIB

if TYPE_CHECKING:
    from imsprep.scan.pool import Answer, Readers

_TASK = 32 * MIB  # bytes in one task; as large as the largest block
_RANGES = 128  # in one task at most, so that it fits into a pipe
READ_HERE = 64 * MIB  # bytes that are read without starting readers
_PIECES = 32  # of LONGEST bytes, asked of the disk together

# Mapping large files and sharing them with a child needs both.
HAS_READERS = os.name == "posix" and sys.maxsize > 1 << 32


class How(NamedTuple):
    """How ranges are read."""

    block_size: int
    jobs: int  # readers
    past_cache: bool  # read past the page cache what is not in it
    keep_cache: bool  # leave in the page cache what was brought there


class FullRead:
    """Reads ranges and marks the blocks that hold data; to be used with `with`.

    Nothing is read before there is enough for readers, or until the end.
    """

    def __init__(
        self, image: RawImage, bits: bitarray, how: How, progress: Callable[[int], None]
    ) -> None:
        self.how = how
        self._image, self._bits, self._progress = image, bits, progress
        self._task: list[Range] = []  # is being filled
        self._filled = 0  # bytes in it
        self._tasks: list[list[Range]] = []  # wait
        self._readers: Readers | None = None
        self.size = 0  # bytes in all ranges

    def __enter__(self) -> FullRead:
        return self

    def __exit__(self, *error: object) -> None:
        if self._readers is not None:
            self._readers.stop()

    def add(self, start: int, stop: int) -> None:
        """Have a range read, now or later."""
        for first, last in cut([(start, stop)], _TASK):
            if self._filled + last - first > _TASK or len(self._task) == _RANGES:
                self._hand_over()
            if self._task and self._task[-1][1] == first:
                self._task[-1] = (self._task[-1][0], last)
            else:
                self._task.append((first, last))
            self._filled += last - first
            self.size += last - first

    def finish(self) -> None:
        """Read all that was added."""
        self._hand_over()
        for task in self._tasks:
            self._read_here(task)
        if self._readers is not None:
            self._readers.finish()

    def _hand_over(self) -> None:
        """Close the current task, and give the tasks to readers if they are worth it."""
        self._tasks.append(self._task)
        self._task, self._filled = [], 0
        if self.size > READ_HERE and self._readers is None and HAS_READERS:
            self._start_readers()
        if self._readers is not None:
            for task in self._tasks:
                self._readers.give(task)
            self._tasks.clear()

    def _start_readers(self) -> None:
        from imsprep.scan.pool import Readers, Setup

        how = self.how
        setup = Setup(self._image.fileno(), how.block_size, how.past_cache, how.keep_cache)
        self._readers = Readers(setup, self._take, on_tick=lambda: self._progress(0))
        self._readers.start(how.jobs)

    def _take(self, answer: Answer) -> None:
        """Take a reader's answer."""
        if answer.blocks is None:
            self._image.check_unchanged()
            self._read_here(answer.task)
            return
        for block in answer.blocks:
            self._bits[block] = 1
        self._progress(sum(stop - start for start, stop in answer.task))

    def _read_here(self, task: list[Range]) -> None:
        """Read a task in this process."""
        size = self.how.block_size
        for batch in batched(cut(cut(task, size), LONGEST), _PIECES):
            unknown = [piece for piece in batch if not self._bits[piece[0] // size]]
            found = holds_data(self._image, unknown, self.how.keep_cache)
            for (start, _), data in zip(unknown, found, strict=True):
                if data:
                    self._bits[start // size] = 1
            self._progress(sum(stop - start for start, stop in batch))
