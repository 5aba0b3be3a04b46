"""What is in a compressed file, unpacked once into a temporary file that has no name.

Who looks at tables and file systems jumps about in a disk, and a stream only goes forwards. The
file lies in TMPDIR or /var/tmp, is sparse, holds at most what an import takes and leaves room on
its file system. It lasts while it is open, and is gone with the process, however that ends.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from imsprep.errors import ReadError, show_path
from imsprep.image.archive import unpack
from imsprep.image.archive.stream import StreamDisk
from imsprep.image.disk import ByteExtent
from imsprep.image.file import RawImage
from imsprep.system.positioned import read_at, read_into
from imsprep.system.sparse import data_ranges, extents
from imsprep.units import MIB, exact_size

_LOG = logging.getLogger(__name__)

_RESERVE = 64 * MIB  # bytes that stay free where it is unpacked
LOOKS = 16  # pieces that are data between two looks at the room
_DESCRIPTORS = Path("/proc/self/fd")  # where a file without a name has one for other programs


class UnpackedImage:
    """The content of a compressed file; it is a RAW disk, or an image in another format."""

    def __init__(self, image: RawImage, file: int, place: Path, size: int) -> None:
        self.path, self.size = image.path, size  # of the compressed file; bytes of the content
        self.place = place  # where this process, and those that it starts, find the content
        self._image, self._file = image, file

    def extents(self) -> Iterator[ByteExtent]:
        """Return what is data and what is not, in order; for one thread at a time."""
        return extents(data_ranges(self._file, 0, self.size), self.size)

    def pread(self, offset: int, length: int) -> bytes:
        """Return what lies at `offset`, and nothing behind the end."""
        return read_at(self._file, length, offset)

    def pread_into(self, offset: int, buffer: memoryview) -> None:
        """Fill a buffer from `offset`; raises ReadError."""
        while buffer:
            try:
                done = read_into(self._file, buffer, offset)
            except OSError as error:
                raise ReadError.from_os(error, "cannot read what was unpacked of", self.path) from (
                    error
                )
            if not done:
                raise ReadError(
                    f"what was unpacked of {show_path(self.path)} ends at byte {offset} of"
                    f" {self.size}; run again"
                )
            buffer, offset = buffer[done:], offset + done

    def check_unchanged(self) -> None:
        """Raise ImageChangedError if the compressed file is not as it was."""
        self._image.check_unchanged()

    def as_node(self) -> dict[str, object]:
        """Return the content as a node of QEMU's block layer."""
        return {"driver": "file", "filename": str(self.place), "read-only": True}


@contextlib.contextmanager
def open_unpacked(image: RawImage, format_: str) -> Iterator[UnpackedImage]:
    """Unpack a file; the content may be in any format.

    Raises FormatError for a stream that is damaged, cut short, or has more in it than an import
    takes; ReadError where there is no room for it.
    """
    file, size = _unpack(image, format_)
    with file:
        yield UnpackedImage(image, file.fileno(), _place_of(file), size)


def _unpack(image: RawImage, format_: str) -> tuple[IO[bytes], int]:
    """Return an open file with the content, and its size in bytes."""
    folder = _folder()
    file = _new(folder)
    _LOG.info("unpacking %s into a temporary file in %s", show_path(image.path), folder)
    stream = StreamDisk(image, format_, unpack.PIECE, raw_only=False)
    try:
        extents = _within_room(stream, image, folder)
        unpack.unpack_disk(stream, extents, file.fileno(), jobs=1, progress=lambda count: None)
        image.check_unchanged()
    except OSError as error:
        file.close()
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise _no_room(image, folder, stream.position) from error
        raise ReadError.from_os(error, "cannot unpack", image.path) from error
    except BaseException:
        file.close()
        raise
    return file, stream.size


def _within_room(stream: StreamDisk, image: RawImage, folder: Path) -> Iterator[ByteExtent]:
    """Yield the extents of a stream as long as its data leaves room where it is unpacked."""
    written = 0
    for extent in stream.extents():
        written += extent[2]
        looks = extent[2] and written % LOOKS == 0
        if looks and shutil.disk_usage(folder).free < _RESERVE:
            raise _no_room(image, folder, extent[0])
        yield extent


def _no_room(image: RawImage, folder: Path, position: int) -> ReadError:
    return ReadError(
        f"cannot unpack {show_path(image.path)}: after {exact_size(position)} of its content there"
        f" is no room left in {show_path(folder)}; set TMPDIR to a folder with more"
    )


def _folder() -> Path:
    """Return where large temporary files go: TMPDIR, or /var/tmp, which is no memory."""
    named = os.environ.get("TMPDIR")
    if named or not os.access("/var/tmp", os.W_OK | os.X_OK):
        return Path(tempfile.gettempdir())
    return Path("/var/tmp")


def _new(folder: Path) -> IO[bytes]:
    """Return a new file without a name; where such a one cannot be opened again, with one."""
    try:
        if _DESCRIPTORS.exists():
            return tempfile.TemporaryFile(prefix="imsprep-", dir=folder)
        return tempfile.NamedTemporaryFile(prefix="imsprep-", dir=folder)
    except OSError as error:
        raise ReadError.from_os(error, "cannot write to", folder) from error


def _place_of(file: IO[bytes]) -> Path:
    if _DESCRIPTORS.exists():
        return Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")
    return Path(file.name)
