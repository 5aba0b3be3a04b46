"""A run of bytes of a file as a file of its own, read-only; and several in a row."""

from __future__ import annotations

import bisect
import io
import itertools
from typing import BinaryIO

from imsprep.image.readonly_file import ReadOnlyFile


class Window(ReadOnlyFile):
    """`size` bytes of `file` from `offset`; the file stays the caller's.

    Where the file ends early, so does the window. `get_size` is what the libyal libraries ask for.
    """

    def __init__(self, file: BinaryIO, offset: int, size: int) -> None:
        self._file, self._offset, self._size = file, offset, size

    @property
    def size(self) -> int:
        """Bytes."""
        return self._size

    def get_size(self) -> int:
        """Return the size in bytes."""
        return self._size

    def pread(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`; fewer only at the end."""
        self.seek(offset)
        return self.read(length) or b""

    def read_range(self, offset: int, view: memoryview) -> int:
        """Read from the file."""
        self._file.seek(self._offset + offset)
        data = self._file.read(len(view))
        view[: len(data)] = data
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

    def read_range(self, offset: int, view: memoryview) -> int:
        """Fill the view, whole unless something is missing."""
        done = 0
        while done < len(view):
            number = bisect.bisect_right(self._starts, offset + done) - 1
            piece = self._pieces[number]
            piece.seek(offset + done - self._starts[number])
            count = piece.readinto(view[done:])
            if not count:
                break
            done += count
        return done
