"""Find the volumes of a disk: partitions, LVM logical volumes, or the bare disk itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from imsprep.guest.model import Volume
from imsprep.guest.superblock import HEAD_SIZE, identify
from imsprep.guest.window import Window
from imsprep.partitions import Disk, Partition, read_disk

# Volumes that are looked at; a system has a handful, a crafted table may claim thousands.
VOLUME_LIMIT = 128


class Found(NamedTuple):
    """A volume and the file that holds its bytes."""

    volume: Volume
    file: BinaryIO


def find_volumes(file: BinaryIO, size: int) -> tuple[Disk, list[Found]]:
    """Find what can hold a file system on a disk of `size` bytes; `file` stays the caller's."""

    def read(offset: int, length: int) -> bytes:
        file.seek(offset)
        return file.read(max(length, 0))

    disk = read_disk(read, size)
    if disk.table is None:
        return disk, list(_volume(file, size, Partition(0, 0, size, "", "", False)))
    found: list[Found] = []
    for part in disk.partitions[:VOLUME_LIMIT]:
        found.extend(_volume(file, size, part))
    return disk, found[:VOLUME_LIMIT]


def _volume(file: BinaryIO, disk_size: int, part: Partition) -> Iterator[Found]:
    size = max(min(part.length, disk_size - part.start), 0)
    window: Any = Window(file, part.start, size)
    block = identify(window.read(min(HEAD_SIZE, size)) or b"")
    name = f"partition {part.number}" if part.number else "whole disk"
    volume = Volume(
        name, part.start, part.length, block.kind, block.uuid, block.label,
        part.type or None, part.unique or None, part.name or None, block.clean,
    )  # fmt: skip
    if block.kind != "lvm":
        yield Found(volume, window)
        return
    try:
        logical = list(_logical(window))
    except ImportError:
        unread = "imsprep[guest] is not installed, which reads LVM"
        yield Found(dataclasses.replace(volume, unread=unread), window)
    except (OSError, MemoryError, ValueError, RuntimeError) as error:
        unread = f"LVM cannot be read: {str(error).split('. ', 1)[0]}"
        yield Found(dataclasses.replace(volume, unread=unread), window)
    else:
        yield Found(volume, window)
        yield from logical


def _logical(window: BinaryIO) -> Iterator[Found]:
    """Open the logical volumes of one physical volume; all must lie on this disk."""
    import pyvslvm

    handle = pyvslvm.handle()
    handle.open_file_object(window)
    handle.open_physical_volume_files_as_file_objects([window])
    group = handle.get_volume_group()
    if group is None:
        return
    for number in range(min(group.number_of_logical_volumes, VOLUME_LIMIT)):
        logical = group.get_logical_volume(number)
        # The library's volume stays readable only while its handle lives; _LogicalFile keeps it.
        file: Any = _LogicalFile(logical, handle)
        block = identify(file.read(min(HEAD_SIZE, file.get_size())) or b"")
        name = f"LVM {group.name}/{logical.name}"
        volume = Volume(name, -1, file.get_size(), block.kind, block.uuid, block.label,
                        clean=block.clean)  # fmt: skip
        yield Found(volume, file)


class _LogicalFile(Window):
    """A logical volume of libvslvm as a file."""

    def __init__(self, logical: Any, handle: Any) -> None:
        super().__init__(logical, 0, int(logical.size))
        self._handle = handle
