"""A read-only file over anything that is read by ranges, for libraries that read files."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class ReadOnlyFile(io.RawIOBase):
    """A seekable file of `size` bytes; a subclass says its size and how a range is read.

    The position belongs to one thread, as that of any file.
    """

    _at = 0

    @property
    def size(self) -> int:
        """Bytes."""
        raise NotImplementedError

    def read_range(self, offset: int, view: memoryview) -> int:
        """Fill `view`, which lies within the file, and return how many bytes it was."""
        raise NotImplementedError

    def readable(self) -> bool:
        """Return True: it can be read."""
        return True

    def seekable(self) -> bool:
        """Return True: it can be positioned."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position: past the end is allowed, before the start is a ValueError."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError(f"negative seek value {base + offset}")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill a buffer as far as the file goes; 0 at the end."""
        self._checkClosed()
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self.size - self._at))
        if count:
            count = self.read_range(self._at, view[:count])
            self._at += count
        return count
