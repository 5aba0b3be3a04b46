"""What a superblock says that decides whether a loader can read it, and whether it is whole.

The UUID, label and size are read in imsprep.image.volumes.
Sources: ext4's super block in the Linux kernel's documentation (s_feature_incompat), xfs_format.h
(sb_features_incompat), btrfs's on-disk format (num_devices).
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Mapping
from typing import TypedDict

from imsprep.guest.model import UNKNOWN, ZEROS
from imsprep.image.volumes.signatures import BTRFS, EXT2, EXT3, EXT4, XFS

Read = Callable[[int, int], bytes]  # offset, length -> bytes of the volume

_EXT_INCOMPAT_AT = 1024 + 0x60
# Those that not every GRUB or kernel reads; `guest.chain.grub.objects` has the same names.
_EXT = {0x10: "meta_bg", 0x80: "64bit", 0x100: "mmp", 0x0400: "ea_inode",
        0x2000: "metadata_csum_seed", 0x4000: "large_dir", 0x8000: "inline_data",
        0x10000: "encrypt", 0x20000: "casefold"}  # fmt: skip
_XFS_VERSION_AT, _XFS_INCOMPAT_AT = 100, 216
_XFS = {0x08: "bigtime", 0x20: "nrext64", 0x40: "exchange", 0x80: "parent", 0x100: "metadir"}
_XFS_RO_COMPAT_AT = 212  # without these a kernel mounts it read-only
_XFS_RO = {0x2: "rmapbt", 0x4: "reflink", 0x8: "inobtcount"}
_BTRFS_DEVICES_AT = 0x10000 + 0x88


_EXT_MAGIC, _EXT_BACKUP = b"\x53\xef", struct.Struct("<24xI28x2s32xH12x16s")


class Features(TypedDict, total=False):
    """Members of a Volume that a superblock says."""

    features: tuple[str, ...]
    devices: int
    lost: str | None


def of(read: Read, kind: str) -> Features:
    """Return `features`, `devices` and `lost` of a Volume, as far as the kind has them."""
    if kind in (EXT2, EXT3, EXT4):
        return {"features": _named(_number(read, _EXT_INCOMPAT_AT, "<I"), _EXT)}
    if kind == XFS and _number(read, _XFS_VERSION_AT, ">H") & 0xF == 5:
        incompatible = _named(_number(read, _XFS_INCOMPAT_AT, ">I"), _XFS)
        return {"features": incompatible + _named(_number(read, _XFS_RO_COMPAT_AT, ">I"), _XFS_RO)}
    if kind == BTRFS:
        return {"devices": _number(read, _BTRFS_DEVICES_AT, "<Q")}
    return {"lost": _lost_ext(read)} if kind in (UNKNOWN, ZEROS) else {}


def _lost_ext(read: Read) -> str | None:
    """Return the UUID in the first backup of an ext2/3/4's superblock, at the second block group.

    A group has eight blocks a byte of a block; with blocks of 1 KiB the first one is not counted.
    """
    for exponent in range(3):
        block = 1024 << exponent
        data = read((8 * block + (not exponent)) * block, _EXT_BACKUP.size)
        if len(data) == _EXT_BACKUP.size:
            own, magic, group, identity = _EXT_BACKUP.unpack(data)
            if (own, magic, group) == (exponent, _EXT_MAGIC, 1):
                return str(uuid.UUID(bytes=identity))
    return None


def _number(read: Read, offset: int, layout: str) -> int:
    size = struct.calcsize(layout)
    return int(struct.unpack(layout, read(offset, size).ljust(size, b"\0"))[0])


def _named(flags: int, names: Mapping[int, str]) -> tuple[str, ...]:
    return tuple(name for flag, name in names.items() if flags & flag)
