"""Convert a disk: RAW to ZVHD2, ZVHD2 to RAW or to a ZVHD2 that is packed otherwise.

What is neither, such as qcow2, is read through QEMU and becomes a ZVHD2 in one pass, without a RAW
copy on the way.

The source's format is detected, the target's follows from its suffix. A target appears under its
name when it is whole and proved, not before; until then it has another name, and whatever ends the
conversion removes it. A ZVHD2 gives back the disk that was packed, `orig_size`.
"""

from __future__ import annotations

import os
import stat
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from bitarray.util import zeros

from imsprep.errors import (
    FormatError,
    UsageError,
    show_path,
)
from imsprep.image import formats
from imsprep.image.archive import unpack
from imsprep.image.archive.ova import OVA, OVF, open_exported
from imsprep.image.archive.stream import StreamDisk, content_of
from imsprep.image.blockmap import BlockMap
from imsprep.image.disk import ByteExtent, Disk
from imsprep.image.file import RawImage
from imsprep.image.not_a_disk import STREAMS
from imsprep.options import ConvertOptions
from imsprep.scan.holes import believes_holes
from imsprep.system.atomic import writing
from imsprep.system.ownership import first_same, same_file
from imsprep.units import ceil_div, format_ratio, format_size
from imsprep.zvhd2 import records
from imsprep.zvhd2.examine import Examination, examine
from imsprep.zvhd2.extract import unpack_disk
from imsprep.zvhd2.reader import PackedDisk, Zvhd2Reader
from imsprep.zvhd2.source import OpenImage, notes_of
from imsprep.zvhd2.writer import PackTask, WriteTask, Written, write_container

TARGETS = (formats.ZVHD2, formats.RAW)
SUFFIXES = {".zvhd2": formats.ZVHD2, ".raw": formats.RAW, ".img": formats.RAW}
UNORDERED = "IMS313"  # the rule on an index that is not in the order of the blocks
_LATEST = 2**32 - 1  # seconds since 2000 that a footer can hold


@dataclass(frozen=True)
class ConvertTask:
    """What is to be made, and how."""

    packing: PackTask  # of a ZVHD2; its jobs also for RAW
    options: ConvertOptions = field(default_factory=ConvertOptions)
    progress: Callable[[int], None] = field(default=lambda count: None, repr=False)
    # Called with a ZVHD2 that is whole and proved, before it gets its name: its file, and its
    # source.
    on_whole: Callable[[int, RawImage, Written], None] = field(
        default=lambda file, source, written: None, repr=False
    )
    with_digest: bool = False  # of the disk, from the bytes that are read for packing


@dataclass(frozen=True)
class Converted:
    """What was made. Sizes in bytes."""

    source: Path
    source_format: str
    target: Path
    target_format: str
    target_size: int
    block_map: BlockMap  # of the disk
    packed: int | None = None  # of all stored blocks; None for RAW
    footer: records.Footer | None = None  # of the ZVHD2 that was made or read
    warnings: tuple[str, ...] = ()

    @property
    def ratio(self) -> float | None:
        """Data to packed data."""
        return self.block_map.data_bytes / self.packed if self.packed else None

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        footer = self.footer
        return {
            "source": str(self.source),
            "source_format": self.source_format,
            "target": str(self.target),
            "target_format": self.target_format,
            "target_size": self.target_size,
            "disk_size": self.block_map.size,
            "data_bytes": self.block_map.data_bytes,
            "blocks": len(self.block_map),
            "stored_blocks": self.block_map.allocated,
            "packed_bytes": self.packed,
            "ratio": round(self.ratio, 4) if self.ratio else None,
            "block_size": self.block_map.block_size,
            "compression": records.METHODS[footer.compress_method] if footer else None,
            "uuid": str(uuid.UUID(bytes=footer.uuid)) if footer else None,
            "warnings": list(self.warnings),
        }

    def __str__(self) -> str:
        """Return the result in one line."""
        ratio = f", packed {format_ratio(self.ratio)}" if self.ratio else ""
        disk, data = format_size(self.block_map.size), format_size(self.block_map.data_bytes)
        # Whether what a source stores is zeros was looked at only where it was packed.
        of_it = f"of which {self.source_format} stored {data}"
        of_it = f"with {data} of data{ratio}" if self.packed is not None else of_it
        return (
            f"{show_path(self.target)}: {format_size(self.target_size)} {self.target_format},"
            f" a disk of {disk} {of_it}"
        )


def convert(source: OpenImage, target: Path, task: ConvertTask) -> Converted:
    """Convert the disk in an open image to `target`; see the module.

    Raises UsageError for a target that may not be written and for formats that are not converted
    into each other, FormatError for a source that is damaged, ReadError, ImageInUseError if another
    program may write to the source, ImageChangedError.
    """
    to_format = task.options.to_format or _format_of_target(target)
    place, file = _place_for(source.file, target, task.options.force), source.file
    file.refuse_writers(force=task.options.force_share)
    done = _convert(source, place, to_format, task)
    note = file.sharing.note if file.sharing else None
    return replace(done, warnings=(*done.warnings, note)) if note else done


def _convert(image: OpenImage, place: Path, to_format: str, task: ConvertTask) -> Converted:
    from_format = task.options.from_format or image.format
    if from_format == formats.ZVHD2:
        return _from_zvhd2(image.file, place, to_format, task)
    if to_format == from_format == formats.RAW:
        raise UsageError(f"{show_path(image.path)} is RAW already; copy it with cp --sparse=always")
    with _open_forwards(image, from_format, to_format, task) as disk:
        if to_format == formats.RAW:
            return _to_raw(image.file, disk, from_format, place, task)
        return _pack(image.file, disk, from_format, place, task)


@contextmanager
def _open_forwards(
    image: OpenImage, format_: str, to_format: str, task: ConvertTask
) -> Iterator[Disk | StreamDisk]:
    """Give a disk that is read once from its start: that of the image, or one of an archive's."""
    file, named = image.file, task.options.disk
    if format_ in STREAMS and not image.has_disk and content_of(file, format_) == formats.RAW:
        piece = unpack.PIECE if to_format == formats.RAW else task.packing.block_size
        yield StreamDisk(file, format_, piece)
    elif format_ in (OVA, OVF) and named is not None:
        with open_exported(file, named, jobs=task.packing.jobs) as disk:
            yield disk
    else:
        yield image.disk(format_)


def stamp(given: int | None, environ: Mapping[str, str], now_s: float) -> tuple[int, bool]:
    """Return a footer's timestamp, and whether it was asked for: then the same bytes come again.

    `given` is in Unix seconds; without it SOURCE_DATE_EPOCH counts, and then the clock.
    """
    named = environ.get("SOURCE_DATE_EPOCH")
    if given is None and named is not None:
        if not named.isascii() or not named.isdigit():
            raise UsageError(f"SOURCE_DATE_EPOCH is {named!r}, not a number of seconds since 1970")
        given = int(named)
    seconds = (int(now_s) if given is None else given) - records.EPOCH
    if not 0 <= seconds <= _LATEST:
        raise UsageError(
            f"a ZVHD2 holds times from {records.EPOCH} (2000-01-01) to {records.EPOCH + _LATEST}"
            f" seconds since 1970, not {seconds + records.EPOCH}"
        )
    return seconds, given is not None


def _format_of_target(target: Path) -> str:
    try:
        return SUFFIXES[target.suffix.lower()]
    except KeyError:
        raise UsageError(
            f"the format of {show_path(target)} does not follow from its name: end it in .zvhd2 or"
            " .raw, or give the format",
            remedies=("to_format",),
        ) from None


def _place_for(source: RawImage, target: Path, force: bool) -> Path:
    """Return where the target is written, links resolved; UsageError if it must not be."""
    place = Path(os.path.realpath(target))
    try:
        there = os.stat(place)
    except OSError:
        return place
    if not stat.S_ISREG(there.st_mode):
        raise UsageError(f"{show_path(target)} is not a regular file; name a file to write")
    if same_file(source.path, place):
        raise UsageError(f"{show_path(target)} is the source itself; name another file to write")
    if first_same(place, source.pieces):
        raise UsageError(
            f"{show_path(target)} holds a piece of the source's disk; name another file to write"
        )
    if not force:
        raise UsageError(
            f"{show_path(target)} exists; name another file, or allow it to be replaced",
            remedies=("force",),
        )
    return place


def _pack(
    image: RawImage, disk: Disk, from_format: str, place: Path, task: ConvertTask
) -> Converted:
    believed = isinstance(disk, PackedDisk | StreamDisk) or believes_holes(
        image, task.options.holes
    )
    extents = disk.extents() if believed else iter([(0, disk.size, True)])
    with writing(place) as file:
        writing_task = WriteTask(
            task.packing, task.progress, task.with_digest, task.options.proves_blocks
        )
        written = write_container(disk, extents, file.fileno(), writing_task)
        image.check_unchanged()
        _place_for(image, place, task.options.force)
        task.on_whole(file.fileno(), image, written)
    return Converted(
        image.path,
        from_format,
        place,
        formats.ZVHD2,
        written.size,
        written.block_map,
        written.payload,
        written.footer,
        (*_warnings(written.footer), *notes_of(disk)),
    )


def _to_raw(
    image: RawImage, disk: Disk, from_format: str, place: Path, task: ConvertTask
) -> Converted:
    """Write the disk as it is; the map of the result says which blocks were data in the image."""
    stored = zeros(ceil_div(disk.size, records.BLOCK_SIZE), endian="little")

    def extents() -> Iterator[ByteExtent]:
        for offset, length, is_data in disk.extents():
            if is_data and length:
                last = (offset + length - 1) // records.BLOCK_SIZE
                stored[offset // records.BLOCK_SIZE : last + 1] = True
            yield offset, length, is_data

    with writing(place) as file:
        jobs = task.packing.jobs
        unpack.unpack_disk(disk, extents(), file.fileno(), jobs=jobs, progress=task.progress)
        disk.check_unchanged()
        _place_for(image, place, task.options.force)
    del stored[ceil_div(disk.size, records.BLOCK_SIZE) :]  # of a stream, the size is known now
    return Converted(
        image.path,
        from_format,
        place,
        formats.RAW,
        disk.size,
        BlockMap(disk.size, records.BLOCK_SIZE, stored),
        warnings=notes_of(disk),
    )


def _from_zvhd2(image: RawImage, place: Path, to_format: str, task: ConvertTask) -> Converted:
    found = examine(image.pread, image.size)
    container = found.container_or_raise()
    if found.shows_two_disks and UNORDERED not in task.options.ignore:
        raise FormatError(
            f"{UNORDERED}: the index of {show_path(image.path)} is not in the order of the blocks:"
            " the published driver reads another disk than the block numbers say; to go by the"
            f" numbers, ignore {UNORDERED}"
        )
    with Zvhd2Reader(container, image.pread) as reader:
        if to_format == formats.ZVHD2:
            disk = PackedDisk(image, reader, jobs=task.packing.jobs)
            packed = _pack(image, disk, formats.ZVHD2, place, task)
            return replace(packed, warnings=(*_source_warnings(found), *packed.warnings))
        jobs = task.packing.jobs
        with writing(place) as file:
            unpack_disk(reader, file.fileno(), jobs=jobs, progress=task.progress)
            image.check_unchanged()
            _place_for(image, place, task.options.force)
    return Converted(
        image.path,
        formats.ZVHD2,
        place,
        formats.RAW,
        container.original_size,
        container.block_map,
        footer=container.footer,
        warnings=_source_warnings(found),
    )


def _source_warnings(found: Examination) -> tuple[str, ...]:
    if not found.shows_two_disks:
        return ()
    return (f"{UNORDERED}: the index is not in the order of the blocks; their numbers were used",)


def _warnings(footer: records.Footer) -> tuple[str, ...]:
    if footer.block_size == records.BLOCK_SIZE:
        return ()
    return (
        f"blocks of {format_size(footer.block_size)}: the published driver reads blocks of 2 MiB"
        " only; whether the service reads others is not known",
    )
