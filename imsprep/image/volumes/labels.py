"""Labels: by which UUID and label a volume says that it is known, and whether it was left clean.

They are read from its first bytes, as `superblocks` reads its size from there.
Sources: the Linux kernel's documentation of ext4 (super block), xfs_format.h, btrfs's on-disk
format, LUKS specifications 1.2.3 and 2, FAT specification 1.03.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable
from typing import NamedTuple

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
)
from imsprep.units import SECTOR

HEAD_SIZE = 128 * 1024  # bytes; all that is read here lies in them

_EXT_START = 1024
_EXT_CLEAN = 0x0001  # s_state: unmounted cleanly
_EXT_ERRORS = 0x0002  # s_state: errors were found
_EXT_NEEDS_RECOVERY = 0x0004  # s_feature_incompat: the journal holds changes
_BTRFS_START = 64 * 1024
_FAT_DIRTY = 0x01  # bit of the reserved byte: not unmounted cleanly


class Label(NamedTuple):
    """What a volume's first bytes say; None where they do not tell."""

    uuid: str | None = None
    label: str | None = None
    clean: bool | None = None


def read_label(kind: str, head: bytes) -> Label:
    """Read the label of a volume that `signatures` calls `kind` from its first HEAD_SIZE bytes."""
    reader = _READERS.get(kind)
    return reader(head) if reader is not None else Label()


def _ext(head: bytes) -> Label:
    block = head[_EXT_START : _EXT_START + 1024].ljust(1024, b"\0")
    (state,) = struct.unpack_from("<H", block, 0x3A)
    (incompat,) = struct.unpack_from("<I", block, 0x60)
    clean = bool(state & _EXT_CLEAN) and not state & _EXT_ERRORS
    clean = clean and not incompat & _EXT_NEEDS_RECOVERY
    return Label(_uuid(block[0x68:0x78]), _label(block[0x78:0x88]), clean)


def _xfs(head: bytes) -> Label:
    # Whether the log is clean is not in the super block; see `guest.fs.xfs_log`.
    return Label(_uuid(head[32:48]), _label(head[108:120]))


def _btrfs(head: bytes) -> Label:
    block = head[_BTRFS_START : _BTRFS_START + 4096].ljust(4096, b"\0")
    # log_root: a log tree that must be replayed is left only after a crash.
    (log_root,) = struct.unpack_from("<Q", block, 0x60)
    return Label(_uuid(block[0x20:0x30]), _label(block[0x12B:0x22B]), log_root == 0)


def _ntfs(head: bytes) -> Label:
    (serial,) = struct.unpack_from("<Q", head.ljust(80, b"\0"), 72)
    # The dirty flag is in the file $Volume; see `guest.fs.libyal`.
    return Label(f"{serial:016X}")


def _fat(head: bytes) -> Label:
    boot = head[:SECTOR].ljust(SECTOR, b"\0")
    # Where FAT32 and the older two keep their serial number; the name follows it.
    serial_at = 67 if boot[82:85] == b"FAT" else 39
    (serial,) = struct.unpack_from("<I", boot, serial_at)
    label = boot[serial_at + 4 : serial_at + 15].split(b"\0")[0].decode("latin-1").strip()
    clean = not boot[serial_at - 2] & _FAT_DIRTY
    identity = f"{serial >> 16:04X}-{serial & 0xFFFF:04X}"
    return Label(identity, None if label in ("", "NO NAME") else label, clean)


def _luks(head: bytes) -> Label:
    return Label(head[168:208].split(b"\0")[0].decode("latin-1") or None)


def _swap(head: bytes) -> Label:
    return Label(_uuid(head[1036:1052]), _label(head[1052:1068]))


def _at(uuid_at: int, label_at: int, length: int) -> Callable[[bytes], Label]:
    """Return the reader of a superblock with UUID and label at these places."""

    def read(head: bytes) -> Label:
        label = _label(head[label_at : label_at + length])
        return Label(_uuid(head[uuid_at : uuid_at + 16]), label)

    return read


def _f2fs(head: bytes) -> Label:
    label = head[0x47C : 0x47C + 1024].decode("utf-16-le", "replace").split("\0")[0]
    return Label(_uuid(head[0x46C:0x47C]), label or None)


def _exfat(head: bytes) -> Label:
    (serial,) = struct.unpack_from("<I", head.ljust(SECTOR, b"\0"), 100)
    return Label(f"{serial >> 16:04X}-{serial & 0xFFFF:04X}")


def _uuid(raw: bytes) -> str | None:
    return str(uuid.UUID(bytes=raw)) if len(raw) == 16 and any(raw) else None


def _label(raw: bytes) -> str | None:
    return raw.split(b"\0")[0].decode("utf-8", "surrogateescape") or None


_READERS: dict[str, Callable[[bytes], Label]] = {
    EXT2: _ext, EXT3: _ext, EXT4: _ext, XFS: _xfs, BTRFS: _btrfs, NTFS: _ntfs,
    FAT: _fat, LUKS: _luks, SWAP: _swap, EXFAT: _exfat, "F2FS": _f2fs,
    "ReiserFS": _at(0x10054, 0x10064, 16), "JFS": _at(0x8088, 0x8098, 16),
    "NILFS2": _at(0x498, 0x4A8, 80), "EROFS": _at(0x430, 0x440, 16),
    "bcachefs": _at(0x1038, 0x1048, 32),
}  # fmt: skip
