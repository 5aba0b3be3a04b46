"""A disk that is served over NBD as a file object, for libraries that read files."""

from __future__ import annotations

from imsprep.image.qemu.nbd_client import NbdClient, NbdError
from imsprep.image.readonly_file import ReadOnlyFile


class DiskFile(ReadOnlyFile):
    """A file whose content is the disk of a connection; a failed read is an OSError."""

    def __init__(self, disk: NbdClient) -> None:
        self._disk = disk

    @property
    def size(self) -> int:
        """Bytes of the disk."""
        return self._disk.size

    def read_range(self, offset: int, view: memoryview) -> int:
        """Read from the server."""
        try:
            self._disk.read_into(offset, view)
        except NbdError as error:
            raise OSError(f"cannot read byte {offset}: {error}") from error
        return len(view)
