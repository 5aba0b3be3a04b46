"""Geometry: how large a file system says it is, and whether its first record can be right.

A *superblock* is the record at a file system's start from which everything else is found. What the
systems refuse to mount is named here as they do: a size that is more than the partition's, a
checksum that does not hold, sizes that no reader could work with.

Sources: the published layouts of ext4 (Documentation/filesystems/ext4 of Linux), XFS, btrfs and
NTFS, and Microsoft's specifications of FAT 1.03 and exFAT 1.00. tests/image/test_superblocks.py
holds every size, and each checksum that is computed, against what the mkfs programs write.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from typing import NamedTuple

from imsprep.image.crc32c import crc32c
from imsprep.units import KIB


class Geometry(NamedTuple):
    """What a superblock says; None where it does not tell."""

    size: int | None = None  # bytes of the volume that it takes
    fault: str | None = None  # why it cannot be right


UNTOLD = Geometry()


def geometry(kind: str, start: bytes) -> Geometry:
    """Read the superblock of a volume that `volumes` calls `kind` from its first 68 KiB."""
    read = _READERS.get(kind)
    try:
        return read(start) if read is not None else UNTOLD
    except struct.error:
        return Geometry(fault="the volume ends inside its superblock")


def _power_of_two(value: int, least: int, most: int) -> bool:
    return least <= value <= most and value & (value - 1) == 0


# --- ext2, ext3, ext4 ----------------------------------------------------------------------------

_EXT_START, _EXT_SIZE = 1024, 1024
_EXT_64BIT, _EXT_METADATA_CSUM = 0x80, 0x400
_EXT_CHECKSUM_AT = 0x3FC


def _ext(start: bytes) -> Geometry:
    block = start[_EXT_START : _EXT_START + _EXT_SIZE]
    (blocks,) = struct.unpack_from("<I", block, 0x4)
    (block_log,) = struct.unpack_from("<I", block, 0x18)
    (revision,) = struct.unpack_from("<I", block, 0x4C)
    incompat, ro_compat = struct.unpack_from("<II", block, 0x60)
    (checksum,) = struct.unpack_from("<I", block, _EXT_CHECKSUM_AT)
    if incompat & _EXT_64BIT:
        blocks |= struct.unpack_from("<I", block, 0x150)[0] << 32
    has_checksum = revision and ro_compat & _EXT_METADATA_CSUM
    if has_checksum and crc32c(block[:_EXT_CHECKSUM_AT]) ^ 0xFFFFFFFF != checksum:
        return Geometry(fault="the checksum of its superblock does not hold")
    if block_log > 6:
        return Geometry(fault=f"blocks of 2^{10 + block_log} bytes")
    block_size = KIB << block_log
    return Geometry(blocks * block_size, _ext_fault(block, block_size, revision))


def _ext_fault(block: bytes, block_size: int, revision: int) -> str | None:
    (blocks,) = struct.unpack_from("<I", block, 0x20)
    (inodes,) = struct.unpack_from("<I", block, 0x28)
    (inode_size,) = struct.unpack_from("<H", block, 0x58)
    if revision and not _power_of_two(inode_size, 128, block_size):  # else 128, whatever it says
        return f"inodes of {inode_size} bytes in blocks of {block_size}"
    if not 0 < inodes <= 8 * block_size or not blocks:
        return f"{blocks} blocks and {inodes} inodes in a group"
    return None


# --- XFS -----------------------------------------------------------------------------------------

_XFS = struct.Struct(">4sIQ")  # magic, block size, blocks
_XFS_VERSION = struct.Struct(">HH")  # version, sector size
_XFS_VERSION_AT, _XFS_CHECKSUM_AT = 100, 224


def _xfs(start: bytes) -> Geometry:
    _, block_size, blocks = _XFS.unpack_from(start)
    version, sector = _XFS_VERSION.unpack_from(start, _XFS_VERSION_AT)
    if not _power_of_two(block_size, 512, 64 * KIB) or not _power_of_two(sector, 512, 32 * KIB):
        return Geometry(fault=f"blocks of {block_size} and sectors of {sector} bytes")
    if version & 0xF == 5:
        (checksum,) = struct.unpack_from("<I", start, _XFS_CHECKSUM_AT)
        rest = start[_XFS_CHECKSUM_AT + 4 : sector]
        if crc32c(start[:_XFS_CHECKSUM_AT] + bytes(4) + rest) != checksum:
            return Geometry(fault="the checksum of its superblock does not hold")
    return Geometry(blocks * block_size)


# --- btrfs ---------------------------------------------------------------------------------------

_BTRFS_START, _BTRFS_SIZE, _BTRFS_CHECKSUM = 64 * KIB, 4096, 32  # the checksum stands first
_BTRFS_TYPE_AT, _BTRFS_DEVICE_SIZE_AT = 0xC4, 0xD1


def _btrfs(start: bytes) -> Geometry:
    block = start[_BTRFS_START : _BTRFS_START + _BTRFS_SIZE]
    (size,) = struct.unpack_from("<Q", block, _BTRFS_DEVICE_SIZE_AT)  # of this device alone
    (kind,) = struct.unpack_from("<H", block, _BTRFS_TYPE_AT)
    digest = _BTRFS_DIGESTS.get(kind)
    made = digest(block[_BTRFS_CHECKSUM:]) if digest is not None else b""  # xxhash is not at hand
    if not block.startswith(made):
        return Geometry(fault="the checksum of its superblock does not hold")
    return Geometry(size)


_BTRFS_DIGESTS: dict[int, Callable[[bytes], bytes]] = {
    0: lambda data: struct.pack("<I", crc32c(data)),
    2: lambda data: hashlib.sha256(data).digest(),
    3: lambda data: hashlib.blake2b(data, digest_size=32).digest(),
}


# --- NTFS, FAT, exFAT ----------------------------------------------------------------------------


_FAT32_ENTRY = 0x0FFFFFFF  # bits of an entry of the table that count


def _ntfs(start: bytes) -> Geometry:
    (sector,) = struct.unpack_from("<H", start, 0xB)
    (sectors,) = struct.unpack_from("<Q", start, 0x28)
    if not _power_of_two(sector, 256, 4096):
        return Geometry(fault=f"sectors of {sector} bytes")
    if not sectors:
        return Geometry(fault="no sectors")
    return Geometry((sectors + 1) * sector)  # a copy of the boot sector stands behind them


def _fat(start: bytes) -> Geometry:
    sector, per_cluster, reserved, tables, entries, few, _, short = struct.unpack_from(
        "<HBHBHHBH", start, 0xB
    )
    many, long, _, root = struct.unpack_from("<IIII", start, 0x20)
    total, table = few or many, short or long
    if not _power_of_two(sector, 512, 4096) or not _power_of_two(per_cluster, 1, 128):
        return Geometry(fault=f"clusters of {per_cluster} sectors of {sector} bytes")
    front = reserved + tables * table + -(-entries * 32 // sector)
    clusters = (total - front) // per_cluster
    if not reserved or not tables or not table or clusters < 1:
        return Geometry(fault=f"{total} sectors, {reserved} reserved, {tables} tables of {table}")
    if start[82:87] == b"FAT32":
        if not 2 <= root < clusters + 2:
            return Geometry(fault=f"its root directory is in cluster {root} of {clusters}")
        at = reserved * sector + root * 4
        entry = int.from_bytes(start[at : at + 4], "little") & _FAT32_ENTRY
        if len(start) >= at + 4 and entry < 2:
            return Geometry(fault=f"its root directory is in cluster {root}, which is not in use")
    return Geometry(total * sector)


def _exfat(start: bytes) -> Geometry:
    (sectors,) = struct.unpack_from("<Q", start, 72)
    sector_log = start[108] if len(start) > 108 else 0
    if not 9 <= sector_log <= 12:
        return Geometry(fault=f"sectors of 2^{sector_log} bytes")
    return Geometry(sectors << sector_log)


# What `volumes` calls them.
_READERS: dict[str, Callable[[bytes], Geometry]] = {
    "ext2": _ext, "ext3": _ext, "ext4": _ext, "XFS": _xfs, "btrfs": _btrfs, "NTFS": _ntfs,
    "FAT": _fat, "exFAT": _exfat,
}  # fmt: skip
