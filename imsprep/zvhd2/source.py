"""Source: an open image and the disk in it, whatever the image's format.

RAW is the disk itself. A ZVHD2 is unpacked block by block, a compressed file once into a temporary
one, and what QEMU reads comes from qemu-nbd. A run opens an `OpenImage` and hands it down, so that
all its steps read one file and one disk.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property

from imsprep.errors import ContentError, FormatError, show_path
from imsprep.image import formats
from imsprep.image.archive.ova import OVA, OVF, open_exported
from imsprep.image.archive.stream import content_of, not_raw
from imsprep.image.archive.unpacked import UnpackedImage, open_unpacked
from imsprep.image.disk import Disk
from imsprep.image.file import RawImage
from imsprep.image.not_a_disk import KNOWN, STREAMS, Kind
from imsprep.image.qemu.foreign import DRIVERS
from imsprep.image.qemu.nbd_disk import open_qemu_disk
from imsprep.zvhd2.examine import examine
from imsprep.zvhd2.reader import PackedDisk, Zvhd2Reader

SOURCES = (formats.RAW, formats.ZVHD2, *DRIVERS, *STREAMS, OVA, OVF)


class OpenImage:
    """An open image, and the disk in it, which is opened when it is first asked for, and once."""

    def __init__(self, file: RawImage, opened: ExitStack, jobs: int) -> None:
        self.file, self.path, self.jobs = file, file.path, jobs
        self._opened = opened
        self._disk: Disk | None = None
        self._format: str | None = None  # in which the disk was opened

    @classmethod
    @contextmanager
    def open(cls, path: str | os.PathLike[str], *, jobs: int = 1) -> Iterator[OpenImage]:
        """Open an image whose disk is read by `jobs` threads; raises as `RawImage.open`."""
        with ExitStack() as opened:
            yield cls(opened.enter_context(RawImage.open(path)), opened, jobs)

    def close(self) -> None:
        """Close file and disk before the block ends; nothing is read of them any more."""
        self._opened.close()

    @cached_property
    def ends(self) -> tuple[bytes, bytes]:
        """The file's first and last bytes, as `formats.identify` wants them."""
        return formats.ends(self.file.pread, self.file.size)

    @cached_property
    def matches(self) -> tuple[formats.Match, ...]:
        """Every format whose signature is there."""
        return formats.identify(*self.ends, self.file.size)

    @property
    def format(self) -> str:
        """The format by the content; ContentError for one that is not in SOURCES, or several."""
        named = formats.primary(self.matches)
        disks = sorted({m.format for m in self.matches if m.kind is Kind.DISK})
        if len(disks) > 1:
            raise ContentError(
                f"{show_path(self.path)} could be {' or '.join(disks)}, and each shows another"
                " disk",
                ambiguous=True,
            )
        if named not in SOURCES:
            reason = formats.not_a_disk(self.path, named)
            raise ContentError(reason, ambiguous=named == formats.ISO)  # of a hybrid it may be one
        if named == formats.RAW:
            formats.check_name(self.path)
        return named

    @property
    def likely_size(self) -> int:
        """The size of the disk in bytes as its header has it, for progress; 0 if unknown."""
        named = formats.primary(self.matches)
        if named in STREAMS:
            return 0  # what the file says of it is not believed
        return formats.virtual_size(named, self.ends[0]) or self.file.size

    @property
    def has_disk(self) -> bool:
        """Whether the disk is open."""
        return self._disk is not None

    def disk(self, format_: str | None = None) -> Disk:
        """Return the disk; None: in the format that the content says. It is closed with the image.

        Raises UsageError for what is not a disk image, FormatError for one that is damaged or not
        whole by itself, MissingExtraError without qemu-nbd where it takes that, ReadError.
        """
        if self._disk is None:
            self._format = format_ or self.format
            opening = _open_disk(self.file, self._format, self.jobs)
            self._disk = self._opened.enter_context(opening)
        assert format_ in (None, self._format), "it is open in another format"
        return self._disk


def pread(disk: Disk, offset: int, length: int) -> bytes:
    """Return a range of a disk; less of it where the disk ends, nothing behind its end."""
    if not 0 <= offset < disk.size:
        return b""
    buffer = bytearray(min(length, disk.size - offset))
    disk.pread_into(offset, memoryview(buffer))
    return bytes(buffer)


@contextmanager
def _open_disk(file: RawImage, format_: str, jobs: int) -> Iterator[Disk]:
    """Open the disk in an open file, for `jobs` threads."""
    if format_ == formats.RAW:
        yield file
        return
    if format_ == formats.ZVHD2:
        container = examine(file.pread, file.size).container_or_raise()
        with Zvhd2Reader(container, file.pread) as reader:
            yield PackedDisk(file, reader, jobs=1)
        return
    if format_ in (OVA, OVF):
        opening = open_exported(file, None, jobs=jobs)
    elif format_ in STREAMS:
        opening = _open_content(file, format_, jobs)
    else:
        opening = open_qemu_disk(file, format_, jobs=jobs)
    with opening as disk:
        yield disk


@contextmanager
def _open_content(image: RawImage, format_: str, jobs: int) -> Iterator[Disk]:
    """Unpack a compressed file, and open the disk in it: RAW, or what QEMU reads."""
    inner = content_of(image, format_)
    if inner not in (formats.RAW, *DRIVERS):
        raise ContentError(not_raw(image.path, format_, inner))
    with open_unpacked(image, format_) as content:
        found = formats.identify(*formats.ends(content.pread, content.size), content.size)
        inner = formats.primary(found)
        if inner == formats.RAW:
            yield content
        elif inner in DRIVERS:
            content.path = image.path.with_suffix("")  # as it is called when it is unpacked
            with _open_inner(image, format_, content, inner, jobs) as disk:
                yield disk
        else:
            raise ContentError(not_raw(image.path, format_, inner))


@contextmanager
def _open_inner(
    image: RawImage, format_: str, content: UnpackedImage, inner: str, jobs: int
) -> Iterator[Disk]:
    """Open what QEMU reads in a compressed file; what is wrong with it is said of the content."""
    with ExitStack() as stack:
        try:
            disk = stack.enter_context(open_qemu_disk(content, inner, jobs=jobs))
        except FormatError as error:
            command = KNOWN[format_].advice.format(shlex.quote(show_path(image.path)))
            raise FormatError(
                f"in {show_path(image.path)}: {error} (first unpack it: {command})"
            ) from error
        yield disk


def notes_of(disk: Disk) -> tuple[str, ...]:
    """Return what the user should know of the image that a disk was read from."""
    notes: tuple[str, ...] = getattr(disk, "notes", ())
    return tuple(f"{show_path(disk.path)}: {note}" for note in notes)
