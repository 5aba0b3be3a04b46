"""Identify a volume's file system, UUID and label, and whether it was left clean.

libblkid says what a volume is and by which UUID and label fstab and the boot loader find it, as on
every Linux (`blkid`); what it does not know, and a system without it, has the readers of
`image.volumes`. These also tell whether the file system was left clean, and what is wrong with it.
Of 126 volumes of util-linux's own tests libblkid 2.38 tells 114 rightly, our readers alone 23
(2026-11-29).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from imsprep.guest.fs import blkid
from imsprep.guest.model import UNKNOWN, ZEROS
from imsprep.image.volumes.labels import HEAD_SIZE, read_label
from imsprep.image.volumes.signatures import FAT, Read, find_volume
from imsprep.image.volumes.superblocks import superblock

_FAT_ENTRY, _FAT_DELETED, _FAT_VOLUME = 32, 0xE5, 0x08  # of a directory
_FAT_LOOK = 64 * 1024  # bytes of a directory that are looked at


class Identified(NamedTuple):
    """What the head of a volume says."""

    kind: str
    uuid: str | None = None
    label: str | None = None
    clean: bool | None = None
    size: int | None = None  # bytes of the volume that it says it takes
    fault: str | None = None  # why it cannot be right


def identify(read: Read, size: int) -> Identified:
    """Identify what lies on a volume of `size` bytes; `read` gives fewer where the disk is cut."""
    answer = blkid.ask(read, size)
    own = _by_tables(read, size)
    if not isinstance(answer, blkid.Answer):
        return own
    if answer.kind != own.kind:
        head = read(0, min(HEAD_SIZE, size))
        said = superblock(answer.kind, head)
        own = _own(head, answer.kind)._replace(size=said.size, fault=said.fault)
    return own._replace(uuid=answer.uuid or own.uuid, label=answer.label)


def _by_tables(read: Read, size: int) -> Identified:
    volume = find_volume(read, size)
    count = min(HEAD_SIZE, size)
    head = read(0, count)
    if volume is None:
        zeros = count > 0 and head == read(size - count, count) == bytes(count)
        return Identified(ZEROS if zeros else UNKNOWN)
    block = _own(head, volume.kind)
    if volume.kind == FAT:
        block = block._replace(label=_fat_label(read, head))
    return block._replace(size=volume.superblock.size, fault=volume.superblock.fault)


def _own(head: bytes, kind: str) -> Identified:
    return Identified(kind, *read_label(kind, head))


def _fat_label(read: Read, head: bytes) -> str | None:
    """Return the label of the root directory, which is the one that counts; FAT 1.03, 6.1."""
    sector, cluster, reserved, tables, entries = struct.unpack_from("<HBHBH", head, 0xB)
    short, _, _, _, _, long, _, root = struct.unpack_from("<HHHIIIII", head, 0x16)
    at, size = (reserved + tables * (short or long)) * sector, entries * _FAT_ENTRY
    if not short:
        at, size = at + max(root - 2, 0) * cluster * sector, cluster * sector
    directory = read(at, min(size, _FAT_LOOK))
    for start in range(0, len(directory) - _FAT_ENTRY + 1, _FAT_ENTRY):
        entry = directory[start : start + _FAT_ENTRY]
        if not entry[0]:
            break
        if entry[0] != _FAT_DELETED and entry[11] & 0x3F != 0x0F and entry[11] & _FAT_VOLUME:
            raw = b"\xe5" + entry[1:11] if entry[0] == 0x05 else entry[:11]
            return raw.decode("latin-1").strip() or None
    return None
