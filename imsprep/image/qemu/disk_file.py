"""A disk that is served over NBD as a file object, for libraries that read files."""

from __future__ import annotations

import io
import os

from imsprep.image.qemu.nbd_client import NbdClient, NbdError


class DiskFile(io.RawIOBase):
    """A file whose content is the disk of a connection; a failed read is an OSError.

    Not for several threads.
    """

    def __init__(self, disk: NbdClient) -> None:
        self._disk, self._position = disk, 0

    def readable(self) -> bool:
        """Return True: it is for reading only."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move; ValueError for a place before the start."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._disk.size}[whence]
        if base + offset < 0:
            raise ValueError(f"negative position {base + offset}")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: object) -> int:
        """Read at the position, less where the disk ends; return how many bytes it was."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        length = max(0, min(len(view), self._disk.size - self._position))
        if length:
            try:
                self._disk.read_into(self._position, view[:length])
            except NbdError as error:
                raise OSError(f"cannot read byte {self._position}: {error}") from error
            self._position += length
        return length
