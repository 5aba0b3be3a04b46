"""Find the volumes of a disk: partitions, LVM logical volumes, or the bare disk itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, cast

from imsprep.errors import FormatError
from imsprep.guest.fs import features, lvm, md, xfs_log
from imsprep.guest.fs.identify import Identified, identify
from imsprep.guest.fs.ranges import PAST_END, Joined, Window
from imsprep.guest.model import UNKNOWN, Volume
from imsprep.image.volumes.partitions import Partition, PartitionedDisk, read_disk
from imsprep.image.volumes.signatures import LVM, RAID, XFS, Read
from imsprep.units import SECTOR

# Volumes that are looked at; a system has a handful, a crafted table may claim thousands.
VOLUME_LIMIT = 128


class Found(NamedTuple):
    """A volume and the file that holds its bytes."""

    volume: Volume
    file: BinaryIO


def find_volumes(file: BinaryIO, size: int) -> tuple[PartitionedDisk, list[Found]]:
    """Find what can hold a file system on a disk of `size` bytes; `file` stays the caller's."""

    def read(offset: int, length: int) -> bytes:
        if offset >= size:  # a crafted table may name what no file can be positioned at
            return b""
        file.seek(offset)
        return file.read(max(length, 0))

    disk = read_disk(read, size)
    if disk.table is None:
        partitions = [Partition(0, 0, size, "", "", False)]
    else:
        partitions = list(disk.partitions[:VOLUME_LIMIT])
    found: list[Found] = []
    physical: dict[str, Window] = {}
    arrays: dict[str, md.Array] = {}  # by the name of the member
    described: list[lvm.Physical] = []
    for part in partitions:
        window = Window(read, part.start, max(part.length, 0))
        volume = _volume(window, part)
        if len(window.pread(0, SECTOR)) < min(part.length, SECTOR):
            volume = dataclasses.replace(volume, unread=PAST_END)
        if volume.kind == LVM:
            try:
                described.append(lvm.read_physical(window.pread))
                physical[described[-1].identifier] = window
            except FormatError as error:
                volume = dataclasses.replace(volume, unread=str(error))
        if volume.kind == RAID and (array := md.read_array(window.pread, part.length)) is not None:
            arrays[volume.name] = array
        found.append(_found(volume, window))
    found = [one._replace(volume=_member(one.volume, arrays)) for one in found]
    found.extend(_not_followed(disk, read))
    found.extend(_logical(described, physical))
    return disk, found[:VOLUME_LIMIT]


def _not_followed(disk: PartitionedDisk, read: Read) -> Iterator[Found]:
    """Yield what a table holds of which not all partitions are known: any volume may be there."""
    places = [(f"partition {p.number}", p, disk.broken_chain) for p in disk.extended[-1:]]
    if disk.table == "gpt" and not any(h.valid for h in (disk.primary, disk.backup) if h):
        whole = Partition(0, 0, disk.size, "", "", False)
        places.append(("whole disk", whole, "its partition table cannot be read"))
    for name, part, why in places:
        if why is not None:
            volume = Volume(name, part.start, part.length, UNKNOWN, unread=why)
            yield _found(volume, Window(read, part.start, max(part.length, 0)))


def _volume(window: Window, part: Partition) -> Volume:
    block = _look(window, part.length)
    name = f"partition {part.number}" if part.number else "whole disk"
    return Volume(
        name, part.start, part.length, block.kind, block.uuid, block.label,
        part.type or None, part.unique or None, part.name or None, block.clean,
        *_doubts(block), **features.of(window.pread, block.kind),
    )  # fmt: skip


def _member(volume: Volume, arrays: dict[str, md.Array]) -> Volume:
    """Return a member of a RAID with what the image lacks of the array."""
    array = arrays.get(volume.name)
    if array is None:
        return volume
    here = sum(other.identifier == array.identifier for other in arrays.values())
    if here >= array.needed:
        return volume
    return dataclasses.replace(volume, missing=f"{array.name}, of which the image holds {here}")


def _doubts(block: Identified) -> tuple[str | None, int | None, str | None]:
    """Return why the files cannot be read, the size that is claimed, and what is wrong."""
    return block.fault and f"cannot read {block.kind}: {block.fault}", block.size, block.fault


def _look(window: Window, size: int) -> Identified:
    """Identify what lies on a volume of `size` bytes, and of XFS also whether its log is clean."""
    block = identify(window.pread, size)
    return block._replace(clean=xfs_log.is_clean(window.pread)) if block.kind == XFS else block


def _logical(described: list[lvm.Physical], physical: dict[str, Window]) -> Iterator[Found]:
    """Yield the logical volumes; one that cannot be followed has its reason and no bytes."""
    for logical in lvm.logical_volumes(described):
        joined = Joined([_part(physical[run.identifier], run) for run in logical.runs])
        name = f"LVM {logical.group}/{logical.name}"
        if logical.unread:
            volume = Volume(name, -1, 0, UNKNOWN, unread=logical.unread, missing=logical.missing,
                            lvm_id=logical.identifier)  # fmt: skip
        else:
            block = _look(joined, joined.get_size())
            volume = Volume(name, -1, joined.get_size(), block.kind, block.uuid, block.label,
                            None, None, None, block.clean, *_doubts(block),
                            lvm_id=logical.identifier,
                            **features.of(joined.pread, block.kind))  # fmt: skip
        yield _found(volume, joined)


def _part(window: Window, run: lvm.LvmRun) -> Window:
    return Window(window.pread, run.offset, run.length)


def _found(volume: Volume, file: object) -> Found:
    return Found(volume, cast(BinaryIO, file))  # a raw file, which typing does not call BinaryIO
