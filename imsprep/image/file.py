"""RawImage: a disk image on this machine, open for reading.

Its `identity` is compared before and after everything that reads the image. Of a block device the
times say little, so one that is mounted or otherwise in use is refused.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from imsprep.errors import (
    FormatError,
    ImageChangedError,
    ImageInUseError,
    ReadError,
    show_path,
)
from imsprep.image.folders import what_folder
from imsprep.image.identity import Identity
from imsprep.image.pieces import pieces_in
from imsprep.system import lease
from imsprep.system.positioned import read_at, read_into
from imsprep.system.regular import READING
from imsprep.system.sparse import data_ranges, extents

P = ParamSpec("P")
T = TypeVar("T")

# File times are those of the kernel's last tick, which is 10 ms ago at most.
_TICK_S = 0.02

ALLOWED = "allowed"  # there are writers, and the image is read all the same
_WORSE = (lease.NONE, lease.UNKNOWN, ALLOWED)  # of several files, and of several times


@dataclass(frozen=True)
class Sharing:
    """Whether other programs may write to an image while it is read, as far as is known."""

    writers: str  # none, unknown, or allowed: there may be some, and it was read all the same
    why: str = ""

    def __str__(self) -> str:
        if self.writers == ALLOWED:
            by = f" by {self.why}" if self.why else ""
            return f"open for writing{by} while it was read: what was read may not be what is there"
        if self.writers == lease.UNKNOWN:
            return f"could not determine whether a program writes to it: {self.why}"
        return "no program could write to it when it was read"

    @property
    def note(self) -> str | None:
        """What a reader of the result has to know; None if all is well."""
        return None if self.writers == lease.NONE else str(self)

    def as_dict(self) -> dict[str, str]:
        """Return plain values for JSON."""
        return asdict(self)


class RawImage:
    """An open disk image; reading is safe from several threads. Opened by `RawImage.open`."""

    def __init__(self, path: Path, file: int, size: int) -> None:
        self.path, self.size = path, size  # size in bytes
        self._file = file
        self.is_device = stat.S_ISBLK(os.fstat(file).st_mode)
        self._state = Identity.of(file)
        self.pieces = pieces_in(file, path)  # in which the disk lies too
        self.identity = self._state.with_pieces(self.pieces)
        self.sharing: Sharing | None = None  # set by `refuse_writers`
        self._force_share = False
        self._joined: list[RawImage] = []

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: str | os.PathLike[str]) -> Iterator[RawImage]:
        """Open a file or block device read-only; raises ReadError for anything else."""
        if os.fspath(path) == "-":
            raise ReadError("cannot read from stdin: an image is read more than once, name a file")
        try:
            file = os.open(path, READING)
        except OSError as error:
            raise ReadError.from_os(error, "cannot read", path) from error
        try:
            mode = os.fstat(file).st_mode
            if stat.S_ISDIR(mode):
                raise ReadError(what_folder(Path(path)))
            if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
                raise ReadError(f"cannot read {show_path(path)}: neither a file nor a block device")
            if stat.S_ISBLK(mode):
                _refuse_if_in_use(path)
            _wait_for_tick(file)
            image = cls(Path(path), file, os.lseek(file, 0, os.SEEK_END))
            try:
                yield image
            except FormatError:
                image.check_unchanged()  # that it changed is the better explanation
                raise
        finally:
            os.close(file)

    @classmethod
    @contextlib.contextmanager
    def open_whole(
        cls, path: str | os.PathLike[str], *, force_share: bool = False
    ) -> Iterator[RawImage]:
        """Open an image that will be read as a whole; see `open` and `refuse_writers`."""
        with cls.open(path) as image:
            image.refuse_writers(force=force_share)
            yield image

    @contextlib.contextmanager
    def joined(self, piece: RawImage) -> Iterator[None]:
        """Treat another open file as a piece of this image meanwhile.

        It must not change either, and have no writers. Raises ImageInUseError.
        """
        self._joined.append(piece)
        try:
            if self.sharing is not None:
                self.refuse_writers()
            yield
        finally:
            self._joined.remove(piece)

    def fileno(self) -> int:
        """Return the file descriptor; it stays this object's."""
        return self._file

    def data(self) -> Iterator[tuple[int, int]]:
        """Yield start and stop (bytes) of what is data; the rest are holes.

        Moves the file's offset, so that only one thread may ask at a time.
        """
        return data_ranges(self._file, 0, self.size)

    def extents(self) -> Iterator[tuple[int, int, bool]]:
        """Return offset, length (bytes) and whether it is data, of all; otherwise as `data`."""
        return extents(self.data(), self.size)

    def pread(self, offset: int, length: int) -> bytes:
        """Return exactly this range; ImageChangedError if the image has become shorter."""
        pieces = []
        while length > 0:
            piece = self._read(offset, read_at, self._file, length, offset)
            pieces.append(piece)
            offset, length = offset + len(piece), length - len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def pread_into(self, offset: int, buffer: memoryview) -> None:
        """Fill a buffer from `offset`; ImageChangedError if the image has become shorter."""
        while buffer:
            done = self._read(offset, read_into, self._file, buffer, offset)
            buffer, offset = buffer[done:], offset + done

    def as_node(self) -> dict[str, object]:
        """Return the file as a node of QEMU's block layer, which opens this and nothing else."""
        name = os.path.abspath(self.path)
        driver = "host_device" if self.is_device else "file"
        return {"driver": driver, "filename": name, "read-only": True}

    def _read(self, at: int, read: Callable[P, T], *what: P.args, **rest: P.kwargs) -> T:
        """Do one read; if it gives nothing, the image has become shorter."""
        try:
            got = read(*what, **rest)
        except OSError as error:
            raise ReadError.from_os(error, f"cannot read byte {at} of", self.path) from error
        if not got:
            raise ImageChangedError(
                f"{show_path(self.path)} was truncated while it was read: nothing at byte {at}"
            )
        return got

    def refuse_writers(self, *, force: bool = False) -> Sharing:
        """Make sure that no program may write to the image, now and at each `check_unchanged`.

        To be called before the image is read as a whole. `force` reads it all the same. Returns
        what is known. Raises ImageInUseError.
        """
        self._force_share |= force
        found = [
            self._sharing(),
            *(piece.refuse_writers(force=self._force_share) for piece in self._joined),
        ]
        before = [self.sharing] if self.sharing is not None else []
        self.sharing = max([*before, *found], key=lambda one: _WORSE.index(one.writers))
        return self.sharing

    def _sharing(self) -> Sharing:
        found = lease.writers(self._file)
        if found.state != lease.SOME:
            return Sharing(found.state, found.why)
        if not self._force_share:
            by = f" by {found.why}" if found.why else ", or mapped, by another program"
            raise ImageInUseError(
                f"{show_path(self.path)} is open for writing{by}: its content may change"
                " while it is read; stop that program, or read a snapshot"
            )
        return Sharing(ALLOWED, found.why)

    def check_unchanged(self) -> None:
        """Raise ImageChangedError if the file is not as it was, or its path names another one.

        Raises ImageInUseError after `refuse_writers` if a program may write to it.
        """
        if self.sharing is not None:
            if self.is_device:
                _refuse_if_in_use(self.path)
            self.refuse_writers()
        try:
            now = {Identity.of(self._file), Identity.of(self.path)}
            # Of a device neither says the size.
            size = os.lseek(self._file, 0, os.SEEK_END) if self.is_device else self.size
        except OSError as error:
            raise ImageChangedError(
                f"{show_path(self.path)} was removed while it was read"
            ) from error
        for piece in self._joined:
            piece.check_unchanged()
        # Pieces that are not open now, too: they may have been read before, or will be.
        whole = self._state.with_pieces(self.pieces)
        if now != {self._state} or size != self.size or whole != self.identity:
            raise ImageChangedError(
                f"{show_path(self.path)} changed while it was read; stop what writes to it,"
                " and run again"
            )


def _refuse_if_in_use(path: str | os.PathLike[str]) -> None:
    """Raise ReadError for a block device that the system itself uses; see O_EXCL in open(2)."""
    try:
        os.close(os.open(path, READING | os.O_EXCL))
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise ReadError(
                f"cannot read {show_path(path)}: it is mounted or part of another device, so it may"
                " change at any time; unmount it, or read a snapshot"
            ) from error
        raise ReadError.from_os(error, "cannot read", path) from error


def _wait_for_tick(file: int) -> None:
    """Wait, if a file has just been written, until another write would change its times."""
    now = os.fstat(file)
    age_s = time.time() - max(now.st_mtime, now.st_ctime)
    if 0 <= age_s < _TICK_S:
        time.sleep(_TICK_S - age_s)
