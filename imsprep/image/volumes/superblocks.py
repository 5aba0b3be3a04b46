"""Superblock: how large a file system says it is, and whether its first record can be right.

A *superblock* is the record at a file system's start from which everything else is found. What the
systems refuse to mount is named here as they do: a size that is more than the partition's, a
checksum that does not hold, sizes that no reader could work with.

Sources: the published layouts of ext4 (Documentation/filesystems/ext4 of Linux), XFS, btrfs and
NTFS, and Microsoft's specifications of FAT 1.03 and exFAT 1.00. Its test holds every size, and each
checksum that is computed, against what the mkfs programs write.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from typing import NamedTuple

from imsprep.image.crc32c import crc32c
from imsprep.units import KIB


class Superblock(NamedTuple):
    """What a superblock says; None where it does not tell."""

    size: int | None = None  # bytes of the volume that it takes
    fault: str | None = None  # why it cannot be right


UNKNOWN_SUPERBLOCK = Superblock()


def superblock(kind: str, start: bytes) -> Superblock:
    """Read the superblock of a volume that `signatures` calls `kind` from its first 68 KiB."""
    read = _READERS.get(kind)
    try:
        return read(start) if read is not None else UNKNOWN_SUPERBLOCK
    except struct.error:
        return Superblock(fault="the volume ends inside its superblock")


def _power_of_two(value: int, least: int, most: int) -> bool:
    return least <= value <= most and value & (value - 1) == 0


# --- ext2, ext3, ext4 ----------------------------------------------------------------------------

_EXT_START, _EXT_SIZE = 1024, 1024
_EXT_64BIT, _EXT_METADATA_CSUM = 0x80, 0x400
_EXT_CHECKSUM_AT = 0x3FC
_EXT_META_BG, _EXT_BIGALLOC, _EXT_HAS_JOURNAL = 0x10, 0x200, 0x4
# Every incompatible feature that ext4's documentation in Linux names.
_EXT_KNOWN = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x1000 | 0x3E000
_JOURNAL_MAGIC = b"\xc0\x3b\x39\x98"
_INODE_EXTENTS, _EXTENT_MAGIC = 0x80000, 0xF30A


def _ext(start: bytes) -> Superblock:
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
        return Superblock(fault="the checksum of its superblock does not hold")
    if block_log > 6:
        return Superblock(fault=f"blocks of 2^{10 + block_log} bytes")
    block_size = KIB << block_log
    fault = _ext_fault(block, block_size, revision) or _ext_groups(block, block_size, blocks)
    return Superblock(blocks * block_size, fault)


def _ext_fault(block: bytes, block_size: int, revision: int) -> str | None:
    (blocks,) = struct.unpack_from("<I", block, 0x20)
    (inodes,) = struct.unpack_from("<I", block, 0x28)
    (inode_size,) = struct.unpack_from("<H", block, 0x58)
    if revision and not _power_of_two(inode_size, 128, block_size):  # else 128, whatever it says
        return f"inodes of {inode_size} bytes in blocks of {block_size}"
    if not 0 < inodes <= 8 * block_size or not blocks:
        return f"{blocks} blocks and {inodes} inodes in a group"
    incompat, ro_compat = struct.unpack_from("<II", block, 0x60) if revision else (0, 0)
    if unknown := incompat & ~_EXT_KNOWN:
        return f"it needs a feature that no system knows ({unknown:#x})"
    (cluster_log,) = struct.unpack_from("<I", block, 0x1C)
    if not ro_compat & _EXT_BIGALLOC and block_size != KIB << min(cluster_log, 16):
        return f"clusters of 2^{10 + cluster_log} bytes in blocks of {block_size}"
    (descriptor,) = struct.unpack_from("<H", block, 0xFE)
    if incompat & _EXT_64BIT and not _power_of_two(descriptor, 64, 1024):
        return f"group descriptors of {descriptor} bytes"
    return None


def _ext_groups(block: bytes, block_size: int, blocks: int) -> str | None:
    """Return why the groups cannot be right, as ext4_fill_super of Linux refuses them."""
    inodes, first = struct.unpack_from("<I16xI", block, 0)
    in_group, _, inodes_in_group = struct.unpack_from("<III", block, 0x20)
    incompat, ro_compat = struct.unpack_from("<II", block, 0x60)
    if first >= blocks or (block_size == KIB and not first and not ro_compat & _EXT_BIGALLOC):
        return f"its first block is {first} of {blocks}"
    groups = -(-(blocks - first) // in_group)
    if inodes != groups * inodes_in_group:
        return f"{inodes} inodes in {groups} groups of {inodes_in_group}"
    (first_meta,) = struct.unpack_from("<I", block, 0x104)
    size = struct.unpack_from("<H", block, 0xFE)[0] if incompat & _EXT_64BIT else 32
    if incompat & _EXT_META_BG and first_meta > -(-groups // (block_size // size)):
        return f"its first meta block group is {first_meta}"
    return None


def journal_fault(read: Callable[[int, int], bytes]) -> str | None:
    """Return why the journal of an ext3 or ext4 cannot be loaded; None if it can, or is not found.

    `read` gives the volume's bytes. Followed is what mkfs makes: the journal's inode in the first
    group, its first block named there directly or by an extent.
    """
    block = read(_EXT_START, _EXT_SIZE)
    if len(block) < _EXT_SIZE or not struct.unpack_from("<I", block, 0x5C)[0] & _EXT_HAS_JOURNAL:
        return None
    (first,), (log,) = struct.unpack_from("<I", block, 0x14), struct.unpack_from("<I", block, 0x18)
    (number,) = struct.unpack_from("<I", block, 0xE0)
    (inode_size,) = struct.unpack_from("<H", block, 0x58)
    (in_group,) = struct.unpack_from("<I", block, 0x28)
    block_size = KIB << min(log, 6)
    descriptor = read((first + 1) * block_size, 32)
    if not 0 < number <= in_group or len(descriptor) < 32:
        return None  # it has another device's, or is elsewhere
    (table,) = struct.unpack_from("<I", descriptor, 0x8)
    inode = read(table * block_size + (number - 1) * inode_size, 128)
    at = _first_block(inode)
    head = read(at * block_size, 12) if at else b""
    if len(head) < 12 or head[:4] == _JOURNAL_MAGIC:
        return None
    return f"its journal has no superblock in block {at}"


def _first_block(inode: bytes) -> int:
    """Return the first block of a file, or 0 if the inode does not say it itself."""
    if len(inode) < 128:
        return 0
    (flags,) = struct.unpack_from("<I", inode, 0x20)
    if not flags & _INODE_EXTENTS:
        return int(struct.unpack_from("<I", inode, 0x28)[0])
    magic, entries, _, depth = struct.unpack_from("<HHHH", inode, 0x28)
    logical, _, high, low = struct.unpack_from("<IHHI", inode, 0x34)
    found = magic == _EXTENT_MAGIC and entries and not depth and not logical
    return int(high << 32 | low) if found else 0


# --- XFS -----------------------------------------------------------------------------------------

_XFS = struct.Struct(">4sIQ")  # magic, block size, blocks
_XFS_VERSION = struct.Struct(">HH")  # version, sector size
_XFS_VERSION_AT, _XFS_CHECKSUM_AT = 100, 224


def _xfs(start: bytes) -> Superblock:
    _, block_size, blocks = _XFS.unpack_from(start)
    version, sector = _XFS_VERSION.unpack_from(start, _XFS_VERSION_AT)
    if not _power_of_two(block_size, 512, 64 * KIB) or not _power_of_two(sector, 512, 32 * KIB):
        return Superblock(fault=f"blocks of {block_size} and sectors of {sector} bytes")
    if version & 0xF == 5:
        (checksum,) = struct.unpack_from("<I", start, _XFS_CHECKSUM_AT)
        rest = start[_XFS_CHECKSUM_AT + 4 : sector]
        if crc32c(start[:_XFS_CHECKSUM_AT] + bytes(4) + rest) != checksum:
            return Superblock(fault="the checksum of its superblock does not hold")
    return Superblock(blocks * block_size)


# --- btrfs ---------------------------------------------------------------------------------------

_BTRFS_START, _BTRFS_SIZE, _BTRFS_CHECKSUM = 64 * KIB, 4096, 32  # the checksum stands first
_BTRFS_TYPE_AT, _BTRFS_DEVICE_SIZE_AT = 0xC4, 0xD1


def _btrfs(start: bytes) -> Superblock:
    block = start[_BTRFS_START : _BTRFS_START + _BTRFS_SIZE]
    (size,) = struct.unpack_from("<Q", block, _BTRFS_DEVICE_SIZE_AT)  # of this device alone
    (kind,) = struct.unpack_from("<H", block, _BTRFS_TYPE_AT)
    digest = _BTRFS_DIGESTS.get(kind)
    made = digest(block[_BTRFS_CHECKSUM:]) if digest is not None else b""
    if not block.startswith(made):
        return Superblock(fault="the checksum of its superblock does not hold")
    return Superblock(size)


_BTRFS_DIGESTS: dict[int, Callable[[bytes], bytes]] = {
    0: lambda data: struct.pack("<I", crc32c(data)),
    1: lambda data: _xxh64(data),
    2: lambda data: hashlib.sha256(data).digest(),
    3: lambda data: hashlib.blake2b(data, digest_size=32).digest(),
}


def _xxh64(data: bytes) -> bytes:
    """Return XXH64 as btrfs stores it; nothing where the library is not installed."""
    try:
        import xxhash
    except ImportError:
        return b""
    return bytes(xxhash.xxh64_digest(data)[::-1])


# --- NTFS, FAT, exFAT ----------------------------------------------------------------------------


_FAT32_ENTRY = 0x0FFFFFFF  # bits of an entry of the table that count


def _ntfs(start: bytes) -> Superblock:
    (sector,) = struct.unpack_from("<H", start, 0xB)
    (sectors,) = struct.unpack_from("<Q", start, 0x28)
    if not _power_of_two(sector, 256, 4096):
        return Superblock(fault=f"sectors of {sector} bytes")
    if not sectors:
        return Superblock(fault="no sectors")
    return Superblock((sectors + 1) * sector)  # a copy of the boot sector stands behind them


def _fat(start: bytes) -> Superblock:
    sector, per_cluster, reserved, tables, entries, few, _, short = struct.unpack_from(
        "<HBHBHHBH", start, 0xB
    )
    many, long, _, root = struct.unpack_from("<IIII", start, 0x20)
    total, table = few or many, short or long
    if not _power_of_two(sector, 512, 4096) or not _power_of_two(per_cluster, 1, 128):
        return Superblock(fault=f"clusters of {per_cluster} sectors of {sector} bytes")
    front = reserved + tables * table + -(-entries * 32 // sector)
    clusters = (total - front) // per_cluster
    if not reserved or not tables or not table or clusters < 1:
        return Superblock(fault=f"{total} sectors, {reserved} reserved, {tables} tables of {table}")
    if start[82:87] == b"FAT32":
        if not 2 <= root < clusters + 2:
            return Superblock(fault=f"its root directory is in cluster {root} of {clusters}")
        at = reserved * sector + root * 4
        entry = int.from_bytes(start[at : at + 4], "little") & _FAT32_ENTRY
        if len(start) >= at + 4 and entry < 2:
            return Superblock(fault=f"its root directory is in cluster {root}, which is not in use")
    return Superblock(total * sector)


def _exfat(start: bytes) -> Superblock:
    (sectors,) = struct.unpack_from("<Q", start, 72)
    sector_log = start[108] if len(start) > 108 else 0
    if not 9 <= sector_log <= 12:
        return Superblock(fault=f"sectors of 2^{sector_log} bytes")
    return Superblock(sectors << sector_log)


# What `signatures` calls them.
_READERS: dict[str, Callable[[bytes], Superblock]] = {
    "ext2": _ext, "ext3": _ext, "ext4": _ext, "XFS": _xfs, "btrfs": _btrfs, "NTFS": _ntfs,
    "FAT": _fat, "exFAT": _exfat,
}  # fmt: skip
