"""Window: one range of an image as a file, for parts that are not sent from memory at once.

A part may be too large to be held, or its bytes may have to wait their turn (`--limit-rate`).
"""

from __future__ import annotations

import io
from collections.abc import Callable

_PLAIN = 1 << 20  # bytes read from the image at once
_PACED = 1 << 16  # bytes that wait for their turn together


class _Range(io.RawIOBase):
    """Reads only between two offsets; the position is counted from the first."""

    def __init__(
        self,
        pread: Callable[[int, int], bytes],
        offset: int,
        length: int,
        at_once: int,
        wait_for: Callable[[int], object],
        check: Callable[[], object],
    ) -> None:
        self._pread, self._offset, self._length = pread, offset, length
        self._at_once, self._wait_for, self._check = at_once, wait_for, check
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]  # any writable buffer
        count = min(len(buffer), self._length - self._position, self._at_once)
        if count <= 0:
            return 0
        self._wait_for(count)
        buffer[:count] = self._pread(self._offset + self._position, count)
        self._position += count
        return count

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._length}[whence]
        self._position = max(0, start + offset)
        if self._position == 0:
            self._check()
        return self._position

    def tell(self) -> int:
        return self._position


def window(
    pread: Callable[[int, int], bytes],
    offset: int,
    length: int,
    *,
    wait_for: Callable[[int], object] | None = None,
    check: Callable[[], object] = lambda: None,
) -> io.BufferedReader:
    """Return a seekable file over `length` bytes from `offset` of what `pread` reads.

    `wait_for` is given how many bytes are about to be read and returns when they may be. `check` is
    called when the reading starts again, and raises if that makes no sense any more.
    """
    at_once = _PACED if wait_for else _PLAIN
    raw = _Range(pread, offset, length, at_once, wait_for or (lambda count: None), check)
    return io.BufferedReader(raw, at_once)
