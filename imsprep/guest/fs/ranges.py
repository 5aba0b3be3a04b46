"""A run of bytes of a disk as a file of its own, read-only; and several in a row.

A volume is as long as its partition or logical volume claims, also where the image ends before it.
`pread` gives what is there; who reads it as a file is refused what is not, since a library takes a
short answer for the end, and then an empty folder for what it has not seen.
"""

from __future__ import annotations

import bisect
import itertools

from imsprep.guest.fs.interface import UnreadableError
from imsprep.image.readonly_file import ReadOnlyFile
from imsprep.image.volumes.signatures import Read

PAST_END = "it lies past the end of the image"


class Window(ReadOnlyFile):
    """`size` bytes from `offset` of what `read` reads, which gives fewer only at its end.

    `get_size` is what the libyal libraries ask for.
    """

    def __init__(self, read: Read, offset: int, size: int) -> None:
        self._read, self._offset, self._size = read, offset, size

    @property
    def size(self) -> int:
        """Bytes that it claims."""
        return self._size

    def get_size(self) -> int:
        """Return the size in bytes."""
        return self._size

    def pread(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`; fewer at the end of the window or image."""
        count = min(length, self._size - offset)
        return self._read(self._offset + offset, count) if count > 0 else b""

    def read_range(self, offset: int, view: memoryview) -> int:
        """Fill the view; UnreadableError if the image ends before."""
        data = self.pread(offset, len(view))
        if len(data) < len(view):
            raise UnreadableError(PAST_END)
        view[:] = data
        return len(data)


class Joined(Window):
    """Windows one after another as one file: what a logical volume is made of.

    What lies past the end of their image is missing, and `pread` stops there.
    """

    def __init__(self, pieces: list[Window]) -> None:
        self._pieces = pieces
        sizes = [piece.get_size() for piece in pieces]
        self._starts = [0, *itertools.accumulate(sizes)][:-1]
        self._size = sum(sizes)

    def pread(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`; fewer at the end, or if one is missing."""
        data, end = b"", min(offset + length, self._size)
        while offset + len(data) < end:
            at = offset + len(data)
            number = bisect.bisect_right(self._starts, at) - 1
            inside = at - self._starts[number]
            wanted = min(end - at, self._pieces[number].size - inside)
            piece = self._pieces[number].pread(inside, wanted)
            data += piece
            if len(piece) < wanted:
                break
        return data
