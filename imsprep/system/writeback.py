"""Writeback: bring a growing file to the disk while the rest of it is still being made.

A thread syncs what was written so far, again and again, and drops it from the page cache. The sync
at the end then has little left to do, a large file pushes nothing else out of memory, and the
kernel reuses a few warm pages for what is written next: several times cheaper than new ones.
"""

from __future__ import annotations

import contextlib
import os

from imsprep.system.pagecache import advise
from imsprep.system.threads import Workers
from imsprep.units import MIB

_STEP = 64 * MIB  # bytes between two syncs


class WriteBehind(Workers):
    """Syncs an open file in the background; `done` says how far its bytes are final."""

    def __init__(self, file: int) -> None:
        super().__init__(1)
        self._file = file
        self._final = self._asked = self._synced = 0  # bytes from the start

    def done(self, position: int) -> None:
        """Note that everything before `position` is written and will not be looked at again."""
        self._final = position
        if position - self._asked >= _STEP:
            self._asked = position
            self.give(self._sync)

    def _sync(self) -> None:
        # Only a head start: finishing the file syncs it, and hears of what goes wrong.
        position = self._final
        if position <= self._synced:
            return
        with contextlib.suppress(OSError, AttributeError):
            os.fdatasync(self._file)
            advise(self._file, self._synced, position, "POSIX_FADV_DONTNEED")
        self._synced = position
