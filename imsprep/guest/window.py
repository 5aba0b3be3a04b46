"""Window: a run of bytes of a file as a file of its own, read-only and seekable."""

from __future__ import annotations

import io
from typing import Any, BinaryIO


class Window(io.RawIOBase):
    """`size` bytes of `file` from `offset`; the file stays the caller's.

    Where the file ends early, so does the window. `get_size` is what the libyal libraries ask for.
    """

    def __init__(self, file: BinaryIO, offset: int, size: int) -> None:
        self._file, self._offset, self._size = file, offset, size
        self._at = 0

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it can be positioned."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position, in bytes; past the end is allowed, before the start is not."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError(f"cannot seek to byte {base + offset}")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def get_size(self) -> int:
        """Return the size in bytes."""
        return self._size

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; 0 at the end."""
        count = min(len(buffer), max(self._size - self._at, 0))
        if count == 0:
            return 0
        self._file.seek(self._offset + self._at)
        data = self._file.read(count)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
