"""The body of a part: one range of an image as a file, read as it is sent, or at a limited rate.

A part may be too large to be held, or its bytes may have to wait their turn (`--limit-rate`).
"""

from __future__ import annotations

import io
from collections.abc import Callable

from imsprep.image.readonly_file import ReadOnlyFile

_PLAIN = 1 << 20  # bytes read from the image at once
_PACED = 1 << 16  # bytes that wait for their turn together


class _Range(ReadOnlyFile):
    """Reads only between two offsets; the position is counted from the first."""

    def __init__(
        self,
        read_into: Callable[[int, memoryview], object],
        offset: int,
        length: int,
        wait_for: Callable[[int], object] | None,
        check: Callable[[], object],
    ) -> None:
        self._read_into, self._offset, self._length = read_into, offset, length
        self._wait_for, self._check = wait_for, check
        self.at_once = _PACED if wait_for else _PLAIN

    @property
    def size(self) -> int:
        return self._length

    def read_range(self, offset: int, view: memoryview) -> int:
        count = min(len(view), self.at_once)
        if self._wait_for is not None:
            self._wait_for(count)
        self._read_into(self._offset + offset, view[:count])
        return count

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        at = super().seek(offset, whence)
        if at == 0:
            self._check()
        return at


def window(
    read_into: Callable[[int, memoryview], object],
    offset: int,
    length: int,
    *,
    wait_for: Callable[[int], object] | None = None,
    check: Callable[[], object] = lambda: None,
) -> io.BufferedReader:
    """Return a seekable file over `length` bytes from `offset` of what `read_into` reads.

    `wait_for` is given how many bytes are about to be read and returns when they may be. `check` is
    called when the reading starts again, and raises if that makes no sense any more.
    """
    raw = _Range(read_into, offset, length, wait_for, check)
    return io.BufferedReader(raw, raw.at_once)


def window_over(data: memoryview, wait_for: Callable[[int], object]) -> io.BufferedReader:
    """Return bytes in memory as a file that waits for its turn."""

    def read_into(offset: int, view: memoryview) -> None:
        view[:] = data[offset : offset + len(view)]

    return window(read_into, 0, len(data), wait_for=wait_for)
