"""Window: a run of bytes of a file as a file of its own, read-only; Joined: several in a row."""

from __future__ import annotations

import bisect
import io
import itertools
from typing import Any, BinaryIO


class Window(io.RawIOBase):
    """`size` bytes of `file` from `offset`; the file stays the caller's.

    Where the file ends early, so does the window. `get_size` is what the libyal libraries ask for.
    """

    def __init__(self, file: BinaryIO, offset: int, size: int) -> None:
        self._file, self._offset, self._size = file, offset, size
        self._at = 0

    def readable(self) -> bool:
        """Return True: it can be read."""
        return True

    def seekable(self) -> bool:
        """Return True: it can be positioned."""
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

    def pread(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`; fewer only at the end."""
        self.seek(offset)
        return self.read(length) or b""

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


class Joined(Window):
    """Windows one after another as one file: what a logical volume is made of.

    `pieces` are windows of exactly the size that they claim; what lies past the end of their file
    is missing, and reading stops there.
    """

    def __init__(self, pieces: list[Window]) -> None:
        self._pieces = pieces
        sizes = [piece.get_size() for piece in pieces]
        self._starts = [0, *itertools.accumulate(sizes)][:-1]
        super().__init__(io.BytesIO(), 0, sum(sizes))

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, whole unless something is missing; 0 at the end."""
        view = memoryview(buffer)
        done = 0
        while done < len(view) and self._at < self._size:
            number = bisect.bisect_right(self._starts, self._at) - 1
            piece = self._pieces[number]
            piece.seek(self._at - self._starts[number])
            count = piece.readinto(view[done:])
            if not count:
                break
            self._at += count
            done += count
        return done
