"""Write-behind: bring a growing file to the disk while the rest of it is still being made.

A thread syncs what was written so far, again and again, and drops it from the page cache. The sync
at the end then has little left to do, a large file pushes nothing else out of memory, and the
kernel reuses a few warm pages for what is written next: several times cheaper than new ones.
"""

from __future__ import annotations

import contextlib
import os
import threading
from types import TracebackType

from imsprep.units import MIB

_STEP = 64 * MIB  # bytes between two syncs


class WriteBehind:
    """Syncs an open file in the background; `done` says how far its bytes are final."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._final = self._asked = self._synced = 0  # bytes from the start
        self._wake = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="write-behind", daemon=True)

    def __enter__(self) -> WriteBehind:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        with self._wake:
            self._ended = True
            self._wake.notify()
        self._thread.join()

    def done(self, position: int) -> None:
        """Note that everything before `position` is written and will not be looked at again."""
        self._final = position
        if position - self._asked >= _STEP:
            with self._wake:
                self._asked = position
                self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._ended or self._asked > self._synced)
                if self._ended:
                    return
            self._sync(self._final)

    def _sync(self, position: int) -> None:
        # Only a head start: whoever finishes the file syncs it, and hears of what goes wrong.
        with contextlib.suppress(OSError, AttributeError):
            os.fdatasync(self._file)
            os.posix_fadvise(
                self._file, self._synced, position - self._synced, os.POSIX_FADV_DONTNEED
            )
        self._synced = position
