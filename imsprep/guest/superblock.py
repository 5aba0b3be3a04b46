"""Tell a volume's file system, UUID and label from its first bytes.

Libraries read the files; this module reads what they do not give: the kind, the identifiers that
fstab and the boot loader use, and whether the file system was left clean. Sources: the Linux
kernel's documentation of ext4 (data structures, super block), xfs_format.h, btrfs on-disk format,
the LVM2 label of lvm2's `label.h`, LUKS specification 1.2.3 and 2, FAT specification 1.03.
"""

from __future__ import annotations

import struct
import uuid
from typing import NamedTuple

# Enough of a volume to tell what is on it: the btrfs super block ends at 68 KiB.
HEAD_SIZE = 128 * 1024

_EXT_START = 1024
_EXT_CLEAN = 0x0001  # s_state: unmounted cleanly
_EXT_ERRORS = 0x0002  # s_state: errors were found
_EXT_NEEDS_RECOVERY = 0x0004  # s_feature_incompat: the journal holds changes
_EXT_HAS_JOURNAL = 0x0004  # s_feature_compat
_EXT4_INCOMPAT = 0x0040 | 0x0080 | 0x0200  # extents, 64bit, flex_bg: any of them makes it ext4
_BTRFS_START = 64 * 1024
_FAT_DIRTY = 0x01  # bit of the reserved byte: not unmounted cleanly
_PAGE_SIZES = (4096, 8192, 16384, 65536)


class Superblock(NamedTuple):
    """What the head of a volume says."""

    kind: str
    uuid: str | None = None
    label: str | None = None
    clean: bool | None = None


def identify(head: bytes) -> Superblock:
    """Tell what lies on a volume from its first HEAD_SIZE bytes; "unknown" if nothing is known."""
    for recognise in (_ext, _xfs, _btrfs, _ntfs, _fat, _signed, _swap):
        found = recognise(head)
        if found is not None:
            return found
    return Superblock("unknown" if any(head) else "empty")


def _ext(head: bytes) -> Superblock | None:
    block = head[_EXT_START : _EXT_START + 1024]
    if len(block) < 1024 or block[0x38:0x3A] != b"\x53\xef":
        return None
    (state,) = struct.unpack_from("<H", block, 0x3A)
    compat, incompat = struct.unpack_from("<II", block, 0x5C)
    kind = "ext4" if incompat & _EXT4_INCOMPAT else "ext3" if compat & _EXT_HAS_JOURNAL else "ext2"
    clean = bool(state & _EXT_CLEAN) and not state & _EXT_ERRORS
    clean = clean and not incompat & _EXT_NEEDS_RECOVERY
    return Superblock(kind, _uuid(block[0x68:0x78]), _label(block[0x78:0x88]), clean)


def _xfs(head: bytes) -> Superblock | None:
    if head[:4] != b"XFSB" or len(head) < 512:
        return None
    # Whether the log is clean is not in the super block.
    return Superblock("xfs", _uuid(head[32:48]), _label(head[108:120]))


def _btrfs(head: bytes) -> Superblock | None:
    block = head[_BTRFS_START : _BTRFS_START + 4096]
    if block[0x40:0x48] != b"_BHRfS_M":
        return None
    # log_root: a log tree that must be replayed is left only after a crash.
    (log_root,) = struct.unpack_from("<Q", block, 0x60)
    return Superblock("btrfs", _uuid(block[0x20:0x30]), _label(block[0x12B:0x22B]), log_root == 0)


def _ntfs(head: bytes) -> Superblock | None:
    if head[3:11] == b"-FVE-FS-":
        return Superblock("bitlocker")
    if head[3:11] != b"NTFS    " or len(head) < 512:
        return None
    (serial,) = struct.unpack_from("<Q", head, 72)
    # The dirty flag is in the file $Volume; see `yal`.
    return Superblock("ntfs", f"{serial:016X}")


def _fat(head: bytes) -> Superblock | None:
    if len(head) < 512 or head[510:512] != b"\x55\xaa":
        return None
    for name_at, serial_at, kind_at in ((71, 67, 82), (43, 39, 54)):
        if head[kind_at : kind_at + 3] == b"FAT" and head[serial_at - 1] in (0x28, 0x29):
            (serial,) = struct.unpack_from("<I", head, serial_at)
            label = head[name_at : name_at + 11].decode("latin-1").strip()
            clean = not head[serial_at - 2] & _FAT_DIRTY
            identity = f"{serial >> 16:04X}-{serial & 0xFFFF:04X}"
            return Superblock("vfat", identity, None if label == "NO NAME" else label, clean)
    return None


def _signed(head: bytes) -> Superblock | None:
    if head[:6] == b"LUKS\xba\xbe":
        text = head[168:208].split(b"\0")[0].decode("latin-1")
        return Superblock("luks", text or None)
    if any(head[at : at + 8] == b"LABELONE" for at in range(0, 2048, 512)):
        return Superblock("lvm")
    return None


def _swap(head: bytes) -> Superblock | None:
    for page in _PAGE_SIZES:
        if head[page - 10 : page] == b"SWAPSPACE2":
            return Superblock("swap", _uuid(head[1036:1052]), _label(head[1052:1068]))
    return None


def _uuid(raw: bytes) -> str | None:
    return str(uuid.UUID(bytes=raw)) if len(raw) == 16 and any(raw) else None


def _label(raw: bytes) -> str | None:
    return raw.split(b"\0")[0].decode("utf-8", "surrogateescape") or None
