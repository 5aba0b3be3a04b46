"""Source: the disk in an image, whatever the image's format; what all who read images open.

RAW is the disk itself. A ZVHD2 is unpacked block by block, a compressed file once into a temporary
one, and what QEMU reads comes from qemu-nbd.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from imsprep.errors import ContentError, FormatError, ImageChangedError, ReadError, show_path
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


@contextmanager
def open_source(image: RawImage, format_: str | None = None, *, jobs: int = 1) -> Iterator[Disk]:
    """Open the disk in an open image, for `jobs` threads; None: the format that its content says.

    Raises UsageError for what is not a disk image, FormatError for one that is damaged or not
    whole by itself, MissingExtraError without qemu-nbd where it takes that, ReadError.
    """
    format_ = format_ or format_of(image)
    if format_ == formats.ZVHD2:
        container = examine(image.pread, image.size).container_or_raise()
        with Zvhd2Reader(container, image.pread) as reader:
            yield PackedDisk(image, reader, jobs=1)
        return
    with open_disk(image, format_, jobs=jobs) as disk:
        yield disk


def pread(disk: Disk, offset: int, length: int) -> bytes:
    """Return a range of a disk; less of it where the disk ends, nothing behind its end."""
    if not 0 <= offset < disk.size:
        return b""
    buffer = bytearray(min(length, disk.size - offset))
    disk.pread_into(offset, memoryview(buffer))
    return bytes(buffer)


@contextmanager
def open_disk(image: RawImage, format_: str, *, jobs: int) -> Iterator[Disk]:
    """Open the disk in an image that is RAW or that QEMU reads, for `jobs` threads.

    A compressed file is unpacked into a temporary one first; see `image.archive.unpacked`. Raises
    FormatError for an image that is not a whole disk by itself, MissingExtraError without QEMU,
    ReadError.
    """
    if format_ == formats.RAW:
        yield image
        return
    if format_ in (OVA, OVF):
        with open_exported(image, None, jobs=jobs) as disk:
            yield disk
        return
    if format_ in STREAMS:
        with _open_content(image, format_, jobs) as disk:
            yield disk
        return
    with open_qemu_disk(image, format_, jobs=jobs) as disk:
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


def format_of(image: RawImage) -> str:
    """Return an image's format by its content; ContentError if it is none or several."""
    matches = formats.identify(*formats.ends(image.pread, image.size), image.size)
    named = formats.primary(matches)
    disks = sorted({m.format for m in matches if m.kind is Kind.DISK})
    if len(disks) > 1:
        raise ContentError(
            f"{show_path(image.path)} could be {' or '.join(disks)}, and each shows another disk",
            ambiguous=True,
        )
    if named not in SOURCES:
        reason = formats.not_a_disk(image.path, named)
        raise ContentError(reason, ambiguous=named == formats.ISO)  # of a hybrid it may be a disk
    if named == formats.RAW:
        formats.check_name(image.path)
    return named


def likely_size(source: Path) -> int:
    """Return the size of the disk in an image as its header has it, for progress; 0 if unknown."""
    try:
        with RawImage.open(source) as image:  # refuses what reading would wait for, as a FIFO
            size = image.size
            head = image.pread(0, min(size, formats.HEAD_SIZE))
    except (ReadError, ImageChangedError):
        return 0  # converting it will say so
    named = formats.primary(formats.identify(head, b"", size))
    if named in STREAMS:
        return 0  # what the file says of it is not believed
    return formats.virtual_size(named, head) or size


def notes_of(disk: Disk) -> tuple[str, ...]:
    """Return what the user should know of the image that a disk was read from."""
    notes: tuple[str, ...] = getattr(disk, "notes", ())
    return tuple(f"{show_path(disk.path)}: {note}" for note in notes)
