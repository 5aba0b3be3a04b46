"""Window: one range of an image as a file, for parts that are too large to be held in memory."""

from __future__ import annotations

import io
from collections.abc import Callable

_BUFFER = 1 << 20  # bytes read from the image at once


class _Range(io.RawIOBase):
    """Reads only between two offsets; the position is counted from the first."""

    def __init__(self, pread: Callable[[int, int], bytes], offset: int, length: int) -> None:
        self._pread, self._offset, self._length = pread, offset, length
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]  # any writable buffer
        count = min(len(buffer), self._length - self._position)
        if count <= 0:
            return 0
        buffer[:count] = self._pread(self._offset + self._position, count)
        self._position += count
        return count

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._length}[whence]
        self._position = max(0, start + offset)
        return self._position

    def tell(self) -> int:
        return self._position


def window(pread: Callable[[int, int], bytes], offset: int, length: int) -> io.BufferedReader:
    """Return a seekable file over `length` bytes from `offset` of what `pread` reads."""
    return io.BufferedReader(_Range(pread, offset, length), _BUFFER)
